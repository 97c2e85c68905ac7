"""boto3 on moto, whose server checks access keys and signatures as IAM does."""

from __future__ import annotations

import json
import logging
import os
import unittest
from typing import Any
from unittest import mock

import boto3
import botocore
import botocore.config
import moto.settings
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer

import keyroll.boto3
from keyroll.errors import RefusedValue

from .support import Source, secret

POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:ListAllMyBuckets"], "Resource": "*"}]}


class Scenes(unittest.TestCase):
    def setUp(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        # Nothing of the developer's.
        own = {name: each for name, each in os.environ.items() if not name.startswith("AWS_")}
        self.patched(mock.patch.dict(os.environ, {**own, "AWS_EC2_METADATA_DISABLED": "true"}, clear=True))
        server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        server.start()
        self.addCleanup(server.stop)
        host, port = server.get_host_and_port()
        self.options: dict[str, Any] = {"endpoint_url": f"http://{host}:{port}"}
        self.iam = boto3.client(
            "iam", region_name="eu-central-1", aws_access_key_id="setup", aws_secret_access_key="setup", **self.options
        )
        self.iam.create_user(UserName="app")
        self.iam.put_user_policy(UserName="app", PolicyName="all", PolicyDocument=json.dumps(POLICY))
        self.addCleanup(self.iam.delete_user, UserName="app")
        self.addCleanup(self.iam.delete_user_policy, UserName="app", PolicyName="all")
        self.first, self.second = self.made(), self.made()
        self.source = Source(self.first)
        self.key = secret(self.source)
        self.addCleanup(self.key.stop)
        self.client = keyroll.boto3.session(self.key, region_name="eu-central-1").client("s3", **self.options)
        self.addCleanup(self.client.close)

    def patched(self, patch: Any) -> None:
        patch.start()
        self.addCleanup(patch.stop)

    def made(self) -> str:
        key = self.iam.create_access_key(UserName="app")["AccessKey"]
        self.addCleanup(self.revoke, key["AccessKeyId"])
        return json.dumps({"AccessKeyId": key["AccessKeyId"], "SecretAccessKey": key["SecretAccessKey"]})

    def revoke(self, key_id: str) -> None:
        with mock.patch.object(moto.settings, "INITIAL_NO_AUTH_ACTION_COUNT", float("inf")):
            if any(each["AccessKeyId"] == key_id for each in self.keys()):
                self.iam.delete_access_key(UserName="app", AccessKeyId=key_id)

    def keys(self) -> Any:
        return self.iam.list_access_keys(UserName="app")["AccessKeyMetadata"]

    def call(self, client: Any = None) -> None:
        with mock.patch.object(moto.settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0):
            (client or self.client).list_buckets()

    def test_a_client_that_was_made_once_uses_the_new_key(self) -> None:
        self.call()
        self.source.turn(self.second)
        self.key.refresh()
        self.revoke(json.loads(self.first)["AccessKeyId"])
        self.call()
        self.assertEqual(self.key.stats, {"v1": {"ok": 1, "refused": 0}, "v2": {"ok": 1, "refused": 0}})

    def test_a_refused_key_is_fetched_anew_and_signed_again(self) -> None:
        self.source.turn(self.second)
        self.revoke(json.loads(self.first)["AccessKeyId"])
        self.call()
        self.assertEqual(self.key.stats, {"v1": {"ok": 0, "refused": 1}, "v2": {"ok": 1, "refused": 0}})

    def test_a_new_key_that_does_not_work_yet_falls_back(self) -> None:
        self.source.turn(json.dumps({"AccessKeyId": "AKIANOTYETTHEREATALL", "SecretAccessKey": "x" * 7 + "-" + "y" * 32}))
        self.key.refresh()
        self.call()
        self.assertEqual(self.key.stats, {"v1": {"ok": 1, "refused": 0}, "v2": {"ok": 0, "refused": 1}})

    def test_two_refusals_are_the_caller_s_error(self) -> None:
        self.source.turn(self.second)
        for each in (self.first, self.second):
            self.revoke(json.loads(each)["AccessKeyId"])
        with self.assertRaises(ClientError) as raised:
            self.call()
        self.assertIn(raised.exception.response["Error"]["Code"], keyroll.boto3.REFUSALS)
        self.assertEqual(self.key.stats, {"v1": {"ok": 0, "refused": 1}, "v2": {"ok": 0, "refused": 1}})

    def test_what_the_key_may_not_do_is_no_refusal_of_the_key(self) -> None:
        with mock.patch.object(moto.settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0), self.assertRaises(ClientError) as raised:
            self.client.delete_bucket(Bucket="other")
        self.assertIn("AccessDenied", raised.exception.response["Error"]["Code"])
        self.assertEqual(self.key.stats, {"v1": {"ok": 0, "refused": 0}})

    def test_the_answer_to_a_head_has_no_code_and_falls_back_too(self) -> None:
        with mock.patch.object(moto.settings, "INITIAL_NO_AUTH_ACTION_COUNT", float("inf")):
            self.iam.put_user_policy(
                UserName="app", PolicyName="all", PolicyDocument=json.dumps(POLICY).replace("s3:ListAllMyBuckets", "s3:*")
            )
            self.client.create_bucket(Bucket="the-bucket", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        self.source.turn(self.second)
        self.revoke(json.loads(self.first)["AccessKeyId"])
        with mock.patch.object(moto.settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0):
            self.client.head_bucket(Bucket="the-bucket")
        self.assertEqual(self.key.stats["v2"]["refused"], 0)
        self.assertEqual(self.key.version, "v2")

    def test_a_second_attempt_is_of_its_own_request_alone(self) -> None:
        self.source.turn(self.second)
        self.key.refresh()
        # A request that was signed, refused, and could not be sent again.
        self.revoke(json.loads(self.second)["AccessKeyId"])
        with mock.patch("botocore.awsrequest.AWSPreparedRequest.reset_stream", side_effect=RuntimeError):
            with self.assertRaises(RuntimeError):
                self.call()
        self.key.compromise()
        third = self.made_after_one_went()
        self.source.turn(third)
        self.key.refresh()
        self.call()
        self.assertEqual(self.key.stats["v3"], {"ok": 1, "refused": 0})
        self.assertEqual(self.key.stats["v1"], {"ok": 0, "refused": 0})

    def made_after_one_went(self) -> str:
        with mock.patch.object(moto.settings, "INITIAL_NO_AUTH_ACTION_COUNT", float("inf")):
            return self.made()

    def test_a_presigned_url_is_no_use_of_the_key(self) -> None:
        self.client.generate_presigned_url("list_buckets")
        unsigned = keyroll.boto3.session(self.key, region_name="eu-central-1").client(
            "s3", config=botocore.config.Config(signature_version=botocore.UNSIGNED), **self.options
        )
        with mock.patch.object(moto.settings, "INITIAL_NO_AUTH_ACTION_COUNT", float("inf")):
            unsigned.list_buckets()
        self.assertEqual(self.key.stats, {"v1": {"ok": 0, "refused": 0}})

    def test_a_value_that_is_no_access_key_is_not_shown(self) -> None:
        with secret(Source('{"AccessKeyId": "canary-7f3a"')) as key:
            client = keyroll.boto3.session(key, region_name="eu-central-1").client("s3", **self.options)
            with self.assertRaises(RefusedValue) as raised:
                self.call(client)
            self.assertNotIn("7f3a", str(raised.exception))


if __name__ == "__main__":
    unittest.main()
