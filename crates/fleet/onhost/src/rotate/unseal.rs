//! The values that an order brings, sealed for this connection and this order alone.

use std::iter::once;

use keyroll_codes::Code;
use keyroll_link::{Context, HostKey, Order, OwnedValues, Sealed};
use keyroll_port::{Class, Failure};
use keyroll_secret::Fields;

use crate::failed::no_order;

/// The values of one order.
pub(super) struct Unsealed {
    /// Both versions; without fields if the order brings none.
    pub(super) both: OwnedValues,
    /// The version that a survey's rotation would make, as the old one of these values.
    pub(super) next: Option<OwnedValues>,
}

impl Unsealed {
    /// Opens what an order brings.
    ///
    /// # Errors
    /// It was sealed for another connection, host, rotation or order, or this host has no key.
    pub(super) fn of(order: &Order, key: Option<&HostKey>, context: &Context<'_>) -> Result<Self, Failure> {
        let open = |sealed: &Sealed| {
            let key = key.ok_or_else(|| no_order("this host could not make a key for the values"))?;
            key.open(sealed, context).map_err(|error| {
                Failure::new(Class::Permanent, Code::InternalError, "open the values that keyroll sent")
                    .because(error)
            })
        };
        let (both, next) = sealed(order);
        let both = both.map(open).transpose()?;
        let none = || OwnedValues { old: Fields::new(), new: None, old_ended: false };
        Ok(Self { both: both.unwrap_or_else(none), next: next.map(open).transpose()? })
    }

    /// The fields of every version.
    pub(super) fn fields(&self) -> impl Iterator<Item = &Fields> + Clone {
        once(&self.both).chain(&self.next).flat_map(|values| once(&values.old).chain(&values.new))
    }
}

/// What an order brings: both versions, and the next one.
fn sealed(order: &Order) -> (Option<&Sealed>, Option<&Sealed>) {
    match order {
        Order::Survey(survey) => (Some(&survey.values), survey.next.as_ref()),
        Order::Copies { values }
        | Order::Trial { values }
        | Order::Carries { values }
        | Order::Deliver { values, .. }
        | Order::Delivered { values, .. }
        | Order::RemoveSuperseded { values, .. }
        | Order::BeforeGivenOut { values, .. }
        | Order::Fetch { values, .. }
        | Order::Enumerate { values, .. }
        | Order::Sweep { values } => (Some(values), None),
        Order::Prepare { of, .. } | Order::Go { of, .. } => (Some(&of.values), None),
        Order::Open(_)
        | Order::Live
        | Order::Apply { .. }
        | Order::AwaitEnd { .. }
        | Order::Describe { .. }
        | Order::WatchRefusals
        | Order::Refusals
        | Order::Caller { .. }
        | Order::Search(_) => (None, None),
    }
}
