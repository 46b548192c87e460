//! Commands about silences, and their timers.

use watchfire_model::Timestamp;

use crate::timers::Timer;
use crate::{
    Engine, Reason, Record, RecordKey, Silence, SilenceCommand, SilenceDraft, SilenceError, SilenceId, SilenceState,
    Subject,
};

impl Engine {
    /// Makes or changes a silence, as [`Input::Silence`](crate::Input::Silence) does, and says how it went. Outputs are
    /// to be drained afterwards as after [`Engine::handle`].
    ///
    /// # Errors
    /// If the silence is refused; nothing is changed then.
    pub fn set_silence(&mut self, now: Timestamp, draft: SilenceDraft) -> Result<SilenceId, SilenceError> {
        self.counters.inputs += 1;
        self.advance(now);
        let result = self.set(draft);
        self.settle();
        result
    }

    /// Ends a silence, as [`Input::Silence`](crate::Input::Silence) does, and says how it went. Outputs are to be
    /// drained afterwards as after [`Engine::handle`].
    ///
    /// # Errors
    /// If there is none of this id or it is over already.
    pub fn expire_silence(&mut self, now: Timestamp, id: &SilenceId) -> Result<(), SilenceError> {
        self.counters.inputs += 1;
        self.advance(now);
        let result = self.expire(id);
        self.settle();
        result
    }

    pub(crate) fn silence_command(&mut self, command: SilenceCommand) {
        let refused = match command {
            SilenceCommand::Set(draft) => self.set(draft).err(),
            SilenceCommand::Expire(id) => self.expire(&id).err(),
            SilenceCommand::Adopt(silences) => {
                silences.into_iter().for_each(|silence| self.adopt(silence));
                None
            }
        };
        if let Some(error) = refused {
            self.emit(Subject::Engine, Reason::SilenceRefused(error.to_string().into()));
        }
    }

    fn set(&mut self, draft: SilenceDraft) -> Result<SilenceId, SilenceError> {
        let set = match self.silences.set(self.now, draft, &self.settings) {
            Ok(set) => set,
            Err(error) => {
                self.counters.silences_refused += 1;
                return Err(error);
            }
        };
        if let Some(replaced) = &set.replaced {
            self.keep_silence(replaced, Reason::SilenceExpired);
        }
        self.keep_silence(&set.id, Reason::SilenceSet);
        Ok(set.id)
    }

    /// The newer state of a silence counts, whichever engine it comes from.
    fn adopt(&mut self, silence: Silence) {
        let id = silence.id.clone();
        if self.silences.get(&id).is_some_and(|own| own.updated_at > silence.updated_at) {
            return;
        }
        let over = silence.phase(self.now) == SilenceState::Expired;
        self.silences.put(silence, self.now);
        self.keep_silence(&id, if over { Reason::SilenceExpired } else { Reason::SilenceSet });
    }

    fn expire(&mut self, id: &SilenceId) -> Result<(), SilenceError> {
        self.silences.expire(self.now, id)?;
        self.keep_silence(id, Reason::SilenceExpired);
        Ok(())
    }

    fn keep_silence(&mut self, id: &SilenceId, reason: Reason) {
        let Some(silence) = self.silences.get(id).cloned() else { return };
        let over = silence.phase(self.now) == SilenceState::Expired;
        let due = if over { silence.ends_at + self.settings.silence_retention } else { silence.ends_at };
        self.timers.set(Timer::silence(id), due);
        self.persist(Record::Silence(silence));
        self.emit(Subject::Silence(id.clone()), reason);
    }

    /// A silence that is over leaves the index at once and the table after a while.
    pub(crate) fn silence_due(&mut self, id: &SilenceId) {
        let Some(silence) = self.silences.get(id) else { return };
        let forget_at = silence.ends_at + self.settings.silence_retention;
        if silence.ends_at > self.now {
            let ends_at = silence.ends_at;
            return self.timers.set(Timer::silence(id), ends_at);
        }
        if forget_at > self.now {
            self.silences.unfile(id);
            return self.timers.set(Timer::silence(id), forget_at);
        }
        self.silences.delete(id);
        self.delete(RecordKey { kind: Record::SILENCE, key: id.as_str().into() });
    }
}
