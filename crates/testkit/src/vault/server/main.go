// The real Vault core for tests: key/value and database engines, AppRole and an audit file, on a port of the loopback
// address. It initialises and unseals itself with one key share. It is a program for tests only and is not shipped.
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	kv "github.com/hashicorp/vault-plugin-secrets-kv"
	"github.com/hashicorp/vault/audit"
	"github.com/hashicorp/vault/builtin/credential/approle"
	"github.com/hashicorp/vault/builtin/logical/database"
	"github.com/hashicorp/vault/builtin/plugin"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/internalshared/configutil"
	"github.com/hashicorp/vault/plugins/database/postgresql"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical/file"
	"github.com/hashicorp/vault/vault"
)

const requestSecondsMax = 90

// The plugins that are built in. The registry of Vault's own server would bring in every engine and database that it has.
type builtins struct{}

var secrets = map[string]logical.Factory{"kv": kv.Factory, "database": database.Factory}

func (builtins) Get(name string, kind consts.PluginType) (func() (interface{}, error), bool) {
	fixed := func(factory logical.Factory, known bool) (func() (interface{}, error), bool) {
		return func() (interface{}, error) { return factory, nil }, known
	}
	switch kind {
	case consts.PluginTypeDatabase:
		return postgresql.New, name == "postgresql-database-plugin"
	case consts.PluginTypeCredential:
		return fixed(approle.Factory, name == "approle")
	case consts.PluginTypeSecrets:
		factory, known := secrets[name]
		return fixed(factory, known)
	default:
		return nil, false
	}
}

func (builtins) Keys(kind consts.PluginType) []string {
	switch kind {
	case consts.PluginTypeDatabase:
		return []string{"postgresql-database-plugin"}
	case consts.PluginTypeCredential:
		return []string{"approle"}
	case consts.PluginTypeSecrets:
		return []string{"kv", "database"}
	default:
		return nil
	}
}

func (own builtins) Contains(name string, kind consts.PluginType) bool {
	_, known := own.Get(name, kind)
	return known
}

func (own builtins) DeprecationStatus(name string, kind consts.PluginType) (consts.DeprecationStatus, bool) {
	if own.Contains(name, kind) {
		return consts.Supported, true
	}
	return consts.Unknown, false
}

func (builtins) IsBuiltinEntPlugin(string, consts.PluginType) bool {
	return false
}

// What the file of keys contains.
type keys struct {
	RootToken string `json:"root_token"`
	// As `sys/unseal` takes it.
	UnsealKey string `json:"unseal_key"`
}

func main() {
	storage := flag.String("storage", "", "the folder of the storage; one with a storage is continued")
	keysFile := flag.String("keys", "", "the file, with mode 0600, of the root token and the unseal key")
	port := flag.Int("port", 0, "the port of the loopback address; 0: a free one, printed to standard output")
	flag.Parse()
	if err := serve(*storage, *keysFile, *port); err != nil {
		fmt.Fprintln(os.Stderr, "vault:", err)
		os.Exit(1)
	}
}

func serve(storage, keysFile string, port int) error {
	if storage == "" || keysFile == "" {
		return errors.New("-storage and -keys are needed")
	}
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	core, err := started(storage, "http://"+listener.Addr().String())
	if err != nil {
		return err
	}
	if err := unseal(core, keysFile); err != nil {
		return err
	}
	duration := requestSecondsMax * time.Second
	properties := vault.HandlerProperties{
		Core: core,
		ListenerConfig: &configutil.Listener{
			Address:            listener.Addr().String(),
			MaxRequestDuration: duration,
		},
	}
	server := &http.Server{Handler: vaulthttp.Handler.Handler(&properties), ReadHeaderTimeout: duration}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	select {
	case err := <-failed:
		return err
	case <-ended:
		return core.Shutdown()
	}
}

func started(storage, address string) (*vault.Core, error) {
	logger := hclog.New(&hclog.LoggerOptions{Output: os.Stderr, Level: hclog.Info})
	physical, err := file.NewFileBackend(map[string]string{"path": storage}, logger)
	if err != nil {
		return nil, err
	}
	return vault.NewCore(&vault.CoreConfig{
		Physical:           physical,
		StorageType:        "file",
		RedirectAddr:       address,
		LogicalBackends:    map[string]logical.Factory{"plugin": plugin.Factory, "kv": kv.Factory, "database": database.Factory},
		CredentialBackends: map[string]logical.Factory{"plugin": plugin.Factory, "approle": approle.Factory},
		AuditBackends:      map[string]audit.Factory{"file": audit.NewFileBackend},
		BuiltinRegistry:    builtins{},
		DisableMlock:       true,
		Logger:             logger,
	})
}

// Initialises a new storage; unseals one with the key of its file.
func unseal(core *vault.Core, keysFile string) error {
	ctx := context.Background()
	initialised, err := core.Initialized(ctx)
	if err != nil {
		return err
	}
	known := keys{}
	if initialised {
		text, err := os.ReadFile(keysFile)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(text, &known); err != nil {
			return err
		}
	} else {
		made, err := core.Initialize(ctx, &vault.InitParams{
			BarrierConfig:  &vault.SealConfig{SecretShares: 1, SecretThreshold: 1, StoredShares: 1},
			RecoveryConfig: &vault.SealConfig{},
		})
		if err != nil {
			return err
		}
		known.RootToken = made.RootToken
		known.UnsealKey = base64.StdEncoding.EncodeToString(made.SecretShares[0])
		text, err := json.Marshal(known)
		if err != nil {
			return err
		}
		if err := os.WriteFile(keysFile, text, 0o600); err != nil {
			return err
		}
	}
	key, err := base64.StdEncoding.DecodeString(known.UnsealKey)
	if err != nil {
		return err
	}
	unsealed, err := core.Unseal(key)
	if err == nil && !unsealed {
		err = errors.New("one key did not unseal it")
	}
	return err
}
