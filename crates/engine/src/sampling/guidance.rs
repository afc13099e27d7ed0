//! Classifier-free guidance: away from what a negative prompt would say.
//!
//! Source: Sanchez et al., Stay on topic with Classifier-Free Guidance (arXiv 2306.17806).

/// Log-softmax of both, then `negative + strength * (logits - negative)`, into `logits`. `negative` is changed. Does nothing for a
/// strength of 1 or less.
pub fn guide(logits: &mut [f32], negative: &mut [f32], strength: f32) {
    if strength.is_nan() || strength <= 1.0 {
        return;
    }
    log_softmax(logits);
    log_softmax(negative);
    for (logit, &negative) in logits.iter_mut().zip(negative.iter()) {
        // A token that one side rules out has no finite log-probability there.
        if logit.is_finite() && negative.is_finite() {
            *logit = negative + strength * (*logit - negative);
        }
    }
}

fn log_softmax(logits: &mut [f32]) {
    let finite = logits.iter().copied().filter(|logit| logit.is_finite());
    let max = finite.clone().fold(f32::NEG_INFINITY, f32::max);
    if max == f32::NEG_INFINITY {
        return;
    }
    let sum: f64 = finite.map(|logit| f64::from(logit - max).exp()).sum();
    let total = max + sum.ln() as f32;
    logits.iter_mut().for_each(|logit| *logit -= total);
}
