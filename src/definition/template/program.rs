//! What a body's template is compiled to: runs of fixed text, each followed by an action.

/// A run of fixed text, and what follows it.
#[derive(Clone, Copy, Debug)]
struct Step<A> {
    from: u32,
    to: u32,
    action: A,
}

/// Fixed text and actions, in the order in which they are rendered.
#[derive(Clone, Debug)]
pub(super) struct Program<A> {
    text: Box<str>,
    steps: Box<[Step<A>]>,
}

impl<A: Copy> Program<A> {
    /// How many bytes of fixed text there are.
    pub(super) const fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Appends each run to `out` and performs its action, which may name a later step to go on with.
    #[inline]
    pub(super) fn run(
        &self,
        out: &mut Vec<u8>,
        mut perform: impl FnMut(A, &mut Vec<u8>) -> Option<u32>,
    ) {
        let mut at = 0;
        while let Some(step) = self.steps.get(at) {
            out.extend_from_slice(self.slice(step.from, step.to));
            at += 1;
            if let Some(to) = perform(step.action, out) {
                // Steps only go forward, so that every run ends.
                at = at.max(to as usize);
            }
        }
    }

    /// The fixed text from one byte to another.
    #[inline]
    pub(super) fn slice(&self, from: u32, to: u32) -> &[u8] {
        self.text.as_bytes().get(from as usize..to as usize).unwrap_or_default()
    }
}

/// A program that is being written.
pub(super) struct Builder<A> {
    text: String,
    run: usize,
    steps: Vec<Step<A>>,
    nothing: A,
}

impl<A: Copy> Builder<A> {
    /// An empty program, and the action that does nothing.
    pub(super) const fn new(nothing: A) -> Self {
        Self { text: String::new(), run: 0, steps: Vec::new(), nothing }
    }

    /// Adds fixed text, which joins the text before it.
    pub(super) fn literal(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Adds an action, and returns its number for [`Self::replace`].
    pub(super) fn step(&mut self, action: A) -> usize {
        let (from, to) = (short(self.run), short(self.text.len()));
        self.run = self.text.len();
        self.steps.push(Step { from, to, action });
        self.steps.len() - 1
    }

    /// Replaces an action, because what it depends on is known only now.
    pub(super) fn replace(&mut self, number: usize, action: A) {
        if let Some(step) = self.steps.get_mut(number) {
            step.action = action;
        }
    }

    /// Ends the run of fixed text, and returns the number of the step that comes next.
    pub(super) fn boundary(&mut self) -> u32 {
        if self.run < self.text.len() {
            self.step(self.nothing);
        }
        short(self.steps.len())
    }

    /// Adds fixed text that no run holds; an action does, by the two numbers.
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
