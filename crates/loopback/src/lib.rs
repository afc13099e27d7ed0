//! A hub on loopback, for tests and benchmarks: the protocols of Hugging Face and ModelScope, with faults at will.
