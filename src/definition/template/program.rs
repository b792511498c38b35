//! The compiled form of a body's template: runs of fixed text, each followed by an action.

/// A run of fixed text and the action behind it.
#[derive(Clone, Copy, Debug)]
struct Instruction<A> {
    from: u32,
    to: u32,
    action: A,
}

/// Fixed text and actions, in the order in which they are rendered.
#[derive(Clone, Debug)]
pub(super) struct Program<A> {
    text: Box<str>,
    steps: Box<[Instruction<A>]>,
}

impl<A: Copy> Program<A> {
    /// Returns the number of bytes of fixed text.
    pub(super) const fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Appends each run to `out` and performs its action. The action may return a later step at which to continue.
    #[inline]
    pub(super) fn run(
        &self,
        out: &mut Vec<u8>,
        mut perform: impl FnMut(A, &mut Vec<u8>) -> Option<u32>,
    ) {
        self.run_between(0, u32::MAX, out, |_, action, out| perform(action, out));
    }

    /// Like `run`, for the steps from `from` up to `to`. The action gets the number of the step behind it.
    #[inline]
    pub(super) fn run_between(
        &self,
        from: u32,
        to: u32,
        out: &mut Vec<u8>,
        mut perform: impl FnMut(u32, A, &mut Vec<u8>) -> Option<u32>,
    ) {
        let mut at = from;
        while at < to
            && let Some(step) = self.steps.get(at as usize)
        {
            out.extend_from_slice(self.slice(step.from, step.to));
            at += 1;
            if let Some(next) = perform(at, step.action, out) {
                // A run ends, since it only goes forward.
                at = at.max(next);
            }
        }
    }

    /// Returns the fixed text between two byte offsets.
    #[inline]
    pub(super) fn slice(&self, from: u32, to: u32) -> &[u8] {
        self.text.as_bytes().get(from as usize..to as usize).unwrap_or_default()
    }
}

/// Builds a program by appending texts and actions.
pub(super) struct Builder<A> {
    text: String,
    run: usize,
    steps: Vec<Instruction<A>>,
    nothing: A,
}

impl<A: Copy> Builder<A> {
    /// Creates an empty program. `nothing` is the action that does nothing.
    pub(super) const fn new(nothing: A) -> Self {
        Self { text: String::new(), run: 0, steps: Vec::new(), nothing }
    }

    /// Adds fixed text to the current run.
    pub(super) fn literal(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Adds an action. Returns its number for [`Self::replace`].
    pub(super) fn step(&mut self, action: A) -> usize {
        let (from, to) = (short(self.run), short(self.text.len()));
        self.run = self.text.len();
        self.steps.push(Instruction { from, to, action });
        self.steps.len() - 1
    }

    /// Replaces an action whose target was not known when it was added.
    pub(super) fn replace(&mut self, number: usize, action: A) {
        if let Some(step) = self.steps.get_mut(number) {
            step.action = action;
        }
    }

    /// Ends the current run of fixed text. Returns the number of the next step.
    pub(super) fn boundary(&mut self) -> u32 {
        if self.run < self.text.len() {
            self.step(self.nothing);
        }
        short(self.steps.len())
    }

    /// Adds fixed text outside of all runs. An action refers to it by the two returned offsets.
    pub(super) fn aside(&mut self, text: &str) -> (u32, u32) {
        self.boundary();
        self.text.push_str(text);
        let from = self.run;
        self.run = self.text.len();
        (short(from), short(self.run))
    }

    pub(super) fn finish(mut self) -> Program<A> {
        self.boundary();
        Program { text: self.text.into(), steps: self.steps.into() }
    }
}

/// Templates are far shorter than 4 GiB.
fn short(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
