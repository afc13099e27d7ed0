//! The learning rate of a step: up in a line, down in half a cosine.

use std::f32::consts::PI;

use crate::recipe::Stage;

/// `step` counts from 0 within the stage.
pub fn rate(stage: &Stage, step: usize) -> f32 {
    if step < stage.warmup {
        return stage.rate * (step + 1) as f32 / stage.warmup as f32;
    }
    let length = stage.cosine_steps.unwrap_or(stage.steps).saturating_sub(stage.warmup).max(1);
    let share = (step - stage.warmup) as f32 / length as f32;
    stage.rate_end + (stage.rate - stage.rate_end) * 0.5 * (1.0 + (PI * share.min(1.0)).cos())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::LossOn;

    #[test]
    fn the_rate_rises_then_falls_to_its_end() {
        let mut stage = Stage {
            name: "s".into(),
            data: "".into(),
            loss: LossOn::All,
            steps: 110,
            cosine_steps: None,
            warmup: 10,
            rate: 1.0,
            rate_end: 0.1,
        };
        assert!((rate(&stage, 0) - 0.1).abs() < 1e-6);
        assert!((rate(&stage, 9) - 1.0).abs() < 1e-6);
        assert!((rate(&stage, 10) - 1.0).abs() < 1e-6);
        assert!((rate(&stage, 60) - 0.55).abs() < 1e-6);
        assert!((rate(&stage, 110) - 0.1).abs() < 1e-6);
        (stage.steps, stage.cosine_steps) = (50, Some(110));
        assert!((rate(&stage, 60) - 0.55).abs() < 1e-6);
    }
}
