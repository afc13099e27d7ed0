//! The types that the workshop works with, from one place.

export type { Chosen, Job, JobId, Model, ModelId, Problem, TensorRow, Verdict } from "$api";
export type * from "./wire";
