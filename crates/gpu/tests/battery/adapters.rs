//! Adapters, buffers and what goes wrong with them.

use huacaya_gpu::{Error, Gpu, trial};

use crate::gpus;

#[test]
fn what_is_written_is_read_again() {
    for gpu in gpus() {
        let words: Vec<u32> = (0..100_003u32).map(|i| i.wrapping_mul(2_654_435_761)).collect();
        let buffer = gpu.upload_words("words", &words).unwrap();
        assert_eq!(gpu.read_words(&buffer, words.len()).unwrap(), words);
        // Bytes that are no whole word.
        let odd = gpu.upload("odd", &[1, 2, 3, 4, 5]).unwrap();
        assert_eq!(gpu.read_words(&odd, 2).unwrap(), [0x0403_0201, 5]);
    }
}

#[test]
fn a_buffer_beyond_the_adapters_limits_is_an_error() {
    for gpu in gpus() {
        let most = gpu.limits.binding_bytes_max;
        assert!(matches!(gpu.buffer("too much", most + 1), Err(Error::Shape { .. })));
    }
}

#[test]
fn every_adapter_here_stands_its_trial() {
    for gpu in gpus() {
        trial(gpu.adapter.index).unwrap();
    }
    assert!(matches!(trial(10_000), Err(Error::NoAdapter { .. })));
}

#[test]
fn an_adapter_that_is_not_there_is_an_error() {
    assert!(matches!(Gpu::open(10_000), Err(Error::NoAdapter { index: 10_000, .. })));
}

#[test]
fn a_lost_device_says_so_at_everything_that_follows() {
    for gpu in gpus() {
        let own = Gpu::open(gpu.adapter.index).unwrap();
        let buffer = own.upload_words("words", &[1, 2, 3]).unwrap();
        own.lose();
        assert!(matches!(own.read_words(&buffer, 3), Err(Error::Lost { .. })));
        assert!(own.buffer("more", 16).is_err());
        assert!(own.write(&buffer, &[0; 4]).is_err());
    }
}
