//! Finds and downloads model files: hubs, mirrors, resume, verify. The only crate that opens outbound connections.
