//! Objects that a deletion does not reach: to delete one all the same, take its finalizer off first. Without a guard a finalizer would only
//! hold the object, and with it its whole namespace, half deleted and for a reason that no answer gives. Reads objects and
//! nothing else.

use std::borrow::Cow;

use crate::object::{Object, finalizers};
use crate::resource::{Flavor, Lane, Resource};
use crate::server::Shared;
use crate::status::ApiError;

/// A finalizer that keeps deletions off.
#[derive(Debug, Clone)]
pub struct Guard {
    /// Its name (`example.com/record`).
    pub finalizer: Cow<'static, str>,
    /// What the refusal says: why, and what to do instead.
    pub advice: Cow<'static, str>,
}

impl Guard {
    /// The guard on an object, if there is one.
    fn on<'a>(guards: &'a [Guard], object: &Object) -> Option<&'a Guard> {
        let held = finalizers(&object.value());
        guards
            .iter()
            .find(|g| held.iter().any(|f| *f == g.finalizer))
    }

    /// Refuses to delete a guarded object.
    pub(crate) fn check(
        guards: &[Guard],
        resource: &Resource,
        object: &Object,
    ) -> Result<(), ApiError> {
        match Guard::on(guards, object) {
            None => Ok(()),
            Some(Guard { finalizer, advice }) => {
                let why = format!("the finalizer {finalizer} keeps it: {advice}");
                Err(ApiError::forbidden(resource, &object.name.name, &why))
            }
        }
    }
}

impl Shared {
    /// Refuses to delete a namespace that has a guarded object in it.
    pub(crate) fn check_guarded_content(
        &self,
        resource: &Resource,
        name: &str,
    ) -> Result<(), ApiError> {
        if resource.flavor != Flavor::Namespace || self.guards.is_empty() {
            return Ok(());
        }
        let durable = self.registry.stored();
        let durable = durable.filter(|kind| kind.lane() == Lane::Durable && kind.namespaced);
        for kind in durable {
            let (objects, _) = self.durable.cache().list(&kind.storage(), Some(name));
            for object in objects {
                if let Some(Guard { finalizer, advice }) = Guard::on(&self.guards, &object) {
                    let why = format!(
                        "{} \"{}\" in it is kept by the finalizer {finalizer}: {advice}",
                        kind.qualified_plural(),
                        object.name.name
                    );
                    return Err(ApiError::forbidden(resource, name, &why));
                }
            }
        }
        Ok(())
    }
}
