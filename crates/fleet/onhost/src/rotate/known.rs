//! The values that the driver sent on this connection. They are cut out of every text that is said from then on.

use keyroll_codes::Code;
use keyroll_inventory::Cleaner;
use keyroll_needle::{VALUE_BYTES_MAX, VALUE_BYTES_MIN};
use keyroll_port::{Class, Failure};
use keyroll_secret::{Fields, SecretBytes};

/// The values so far. None is dropped: a later text may still have one of an earlier order.
#[derive(Default)]
pub(super) struct KnownValues(Vec<SecretBytes>);

impl KnownValues {
    /// Adds the secret fields. Returns a cleaner for all values, if one of these is new.
    ///
    /// # Errors
    /// A value is too short or too long to be found in a text: no order with it is carried out.
    pub(super) fn learn<'a>(
        &mut self,
        all: impl Iterator<Item = &'a Fields> + Clone,
    ) -> Result<Option<Cleaner>, Failure> {
        let fits = VALUE_BYTES_MIN..=VALUE_BYTES_MAX;
        let unfit = all.clone().flat_map(Fields::secrets).find(|(_, value)| !fits.contains(&value.len()));
        if let Some((name, _)) = unfit {
            return Err(refused().because(format!(
                "its field {name} has fewer than {VALUE_BYTES_MIN} or more than {VALUE_BYTES_MAX} bytes"
            )));
        }
        let before = self.0.len();
        for (_, value) in all.flat_map(Fields::secrets) {
            if !self.0.contains(value) {
                self.0.push(value.duplicate());
            }
        }
        if self.0.len() == before {
            return Ok(None);
        }
        let cleaner = Cleaner::of_values(&self.0);
        if cleaner.is_err() {
            self.0.truncate(before);
        }
        cleaner.map(Some).map_err(|error| refused().because(error))
    }
}

fn refused() -> Failure {
    Failure::new(Class::Permanent, Code::ValueRefused, "keep a value out of what this host says")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(value: &str) -> Fields {
        Fields::single(SecretBytes::from(value.to_owned()))
    }

    #[test]
    fn a_value_of_an_earlier_order_is_cut_out_too() {
        let values = [keyroll_testkit::alphanumeric(20), keyroll_testkit::alphanumeric(20)];
        let mut known = KnownValues::default();
        assert!(known.learn([&fields(&values[0])].into_iter()).unwrap().is_some());
        let cleaner = known.learn([&fields(&values[1])].into_iter()).unwrap().unwrap();
        for value in &values {
            assert_eq!(cleaner.pass(&format!("a {value} b")), "a [redacted:value] b");
        }
        assert!(known.learn([&fields(&values[0])].into_iter()).unwrap().is_none());
    }

    #[test]
    fn a_value_that_no_text_can_be_searched_for_is_refused_and_not_repeated() {
        let short = keyroll_testkit::alphanumeric(VALUE_BYTES_MIN - 1);
        let Err(failure) = KnownValues::default().learn([&fields(&short)].into_iter()) else {
            panic!("it is accepted")
        };
        assert_eq!(failure.code, "K0806");
        assert!(!format!("{failure:?}").contains(&short));
    }

    #[test]
    fn a_field_that_is_no_secret_may_be_short_and_stays() {
        let mut fields = fields(&keyroll_testkit::alphanumeric(20));
        fields.insert("user", SecretBytes::from("api".to_owned()), false);
        let cleaner = KnownValues::default().learn([&fields].into_iter()).unwrap().unwrap();
        assert_eq!(cleaner.pass("api"), "api");
    }
}
