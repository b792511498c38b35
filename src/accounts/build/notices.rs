//! Reads which webhook gets the notices about the endpoints of an account.

use super::Builder;
use crate::accounts::entry::{AccountEntry, AccountsFile, BodyName, WebhookEntry};
use crate::document::Place;
use crate::domain::{AccountId, NoticePolicy};

impl Builder<'_> {
    /// Reads `notify` of an account. The webhooks are built already.
    pub(super) fn notices(
        &mut self,
        entry: &AccountEntry,
        written: &AccountsFile,
        place: &Place<'_>,
    ) {
        let Some(id) = entry.id.map(AccountId) else { return };
        let place = place.key("notify");
        let Some(webhook) = self.webhook_of(id, entry.notify.as_deref(), &place) else { return };
        let has_name = |it: &&WebhookEntry| it.name.as_deref() == Some(webhook.as_str());
        let body = written.webhook.iter().find(has_name).map(|it| it.body);
        let uses_variables = self.named.get(&webhook).is_some_and(|named| !named.is_empty());
        if uses_variables || body != Some(BodyName::Predefined) {
            let problem = format!(
                "webhook `{webhook}` has variables or a body of its own, and a notice belongs to no flow"
            );
            let fix = "name a [[webhook]] with body = \"predefined\" and without variables";
            return self.context.fault(&place, problem, fix);
        }
        if let Some(account) = self.built.accounts.get_mut(&id) {
            let (after_ms, dead_letters) = (entry.notify_after_s * 1000, entry.notify_dead_letters);
            account.notices = Some(NoticePolicy { webhook, after_ms, dead_letters });
        }
    }
}
