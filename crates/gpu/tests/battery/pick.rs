//! The greatest values of rows.

use huacaya_gpu::{Recorder, Top};

use crate::gpus;
use crate::material::Noise;

#[test]
fn the_greatest_come_in_order_with_their_places() {
    for gpu in gpus() {
        for (length, wanted) in [(1, 1), (100, 7), (1024, 1), (2816, 40), (33_000, 128), (151_936, 1)] {
            let mut noise = Noise::new(length as u64);
            // Values that occur more than once: of equal ones the first comes first.
            let x: Vec<f32> = (0..2 * length).map(|_| (noise.value() * 3000.0).round() / 8.0).collect();
            let there = gpu.upload_values("x", &x).unwrap();
            let top = Top::new(gpu, 2, length).unwrap();
            let mut recorder = Recorder::new(gpu);
            let (values, places) = top.start(&mut recorder, &there, length, 2, wanted).unwrap();
            let found = recorder.finish(Some((places, 2 * wanted))).unwrap();
            let values = gpu.read(values, 2 * wanted).unwrap();
            for (row, x) in x.chunks(length).enumerate() {
                let mut order: Vec<usize> = (0..length).collect();
                order.sort_by(|a, b| x[*b].total_cmp(&x[*a]).then(a.cmp(b)));
                for (i, place) in order[..wanted].iter().enumerate() {
                    assert_eq!(found[row * wanted + i] as usize, *place, "{length} {wanted}: number {i} of row {row}");
                    assert_eq!(values[row * wanted + i], x[*place]);
                }
            }
        }
    }
}

#[test]
fn what_is_no_number_is_never_the_greatest() {
    for gpu in gpus() {
        let mut x = vec![-5.0; 2000];
        (x[3], x[1500], x[1999]) = (f32::NAN, f32::NEG_INFINITY, -4.0);
        let there = gpu.upload_values("x", &x).unwrap();
        let top = Top::new(gpu, 1, x.len()).unwrap();
        let mut recorder = Recorder::new(gpu);
        let (_, places) = top.start(&mut recorder, &there, x.len(), 1, 2).unwrap();
        assert_eq!(recorder.finish(Some((places, 2))).unwrap(), [1999, 0]);
    }
}
