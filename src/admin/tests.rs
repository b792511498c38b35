//! The API through a real socket.
