//! Values that are derived from a flow's record: how the tokens of call-tracking templates get their values.

use serde::Deserialize;

/// How a value is derived. The words of the catalogue's field `derived`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Derived {
    /// The source's time in UTC, with milliseconds. A text that is no time stays as it is.
    Utc,
    /// The seconds from the start of the call to its end, if the source has no value.
    DialedTime,
    /// The seconds from the connection of the call to its end, if the source has no value.
    AnsweredTime,
    /// A word for the call's result, if the source has no value.
    Dialstatus,
    /// The URL of the first recording in MP3, if the source has no value.
    Mp3,
    /// The URL of the first recording in WAV, if the source has no value.
    Wav,
    /// The source's object: names and values. A string may contain it.
    Tags,
    /// The source's array of prompts. A string may contain it.
    Prompts,
    /// A member of a prompt: the one for which an array of a template is repeated. Elsewhere it is the source's value,
    /// or that of the first prompt.
    Prompt,
}

impl Derived {
    /// Returns whether the value is an object or array that a string may contain.
    #[must_use]
    pub const fn is_unwrapped(self) -> bool {
        match self {
            Self::Tags | Self::Prompts => true,
            Self::Utc
            | Self::DialedTime
            | Self::AnsweredTime
            | Self::Dialstatus
            | Self::Mp3
            | Self::Wav
            | Self::Prompt => false,
        }
    }

    /// Returns the word of the catalogue.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Utc => "utc",
            Self::DialedTime => "dialed_time",
            Self::AnsweredTime => "answered_time",
            Self::Dialstatus => "dialstatus",
            Self::Mp3 => "mp3",
            Self::Wav => "wav",
            Self::Tags => "tags",
            Self::Prompts => "prompts",
            Self::Prompt => "prompt",
        }
    }
}
