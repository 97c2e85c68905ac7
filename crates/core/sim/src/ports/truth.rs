use async_trait::async_trait;
use keyroll_port::{Failure, GivenOut, MadeBy, Truth, TruthVersion};
use keyroll_rotation::{Op, Query, Which};
use keyroll_secret::Credential;

use super::{DECOY, Port, fields, mistaken, number, outcome, scope};
use crate::calls::{Call, CallResult, DriverRequest};
use crate::issuer::Value;
use crate::mutant::Mutation;

impl Port {
    /// What a mutant reads instead of what is given out.
    fn read_instead(&self, gives: Value) -> Value {
        let run = self.run();
        let asked = scope().and_then(|at| run.scopes.get(at)).map(|it| &it.asked);
        match (run.world.mutation, asked) {
            (Mutation::LabelDecides, Some(DriverRequest::Look(Query::Reconcile(_)))) => {
                run.world.store.current()
            }
            (Mutation::TruthUnasked, Some(DriverRequest::Look(Query::Enumerate))) => {
                let state = run.slots.get(self.slot).map(|slot| slot.driver.state());
                let promoted = state.filter(|state| state.promoted());
                promoted.and_then(|state| run.world.value_of(Which::New, state)).unwrap_or(gives)
            }
            (Mutation::RestartUnasked, Some(DriverRequest::Carry(effect, state))) => match effect.op {
                Op::Apply(consumer, ..) => {
                    let toward = state.units().get(consumer.index()).map_or(Which::New, |unit| unit.toward);
                    run.world.value_of(toward, state).unwrap_or(gives)
                }
                _ => gives,
            },
            _ => gives,
        }
    }
}

fn value_of(credential: &Credential) -> Value {
    number(&credential.fields).unwrap_or(DECOY)
}

#[async_trait]
impl Truth for Port {
    fn name(&self) -> String {
        "the source of truth".to_owned()
    }

    async fn current(&self) -> Result<GivenOut, Failure> {
        match outcome(self.call(Call::ReadTruth).await)? {
            CallResult::GivenOut(gives) => {
                let fields = fields(self.read_instead(gives));
                Ok(GivenOut { id: gives.to_string(), unix_ms: None, fields })
            }
            _ => mistaken(),
        }
    }

    async fn versions(&self) -> Result<Vec<TruthVersion>, Failure> {
        // Nothing that drives a rotation asks for them.
        Ok(Vec::new())
    }

    async fn stage(&self, by: &MadeBy, old: &Credential, new: &Credential) -> Result<(), Failure> {
        self.act(Call::StageTruth { by: by.intent, old: value_of(old), new: value_of(new) }).await
    }

    async fn give_out(&self, _: &MadeBy, before: &Credential, after: &Credential) -> Result<(), Failure> {
        self.act(Call::GiveOut { before: value_of(before), after: value_of(after) }).await
    }

    async fn withdraw(&self, by: &MadeBy) -> Result<(), Failure> {
        self.act(Call::Withdraw { by: by.intent }).await
    }
}
