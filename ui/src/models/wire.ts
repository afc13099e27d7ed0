//! The library's commands as issue 3's contract has them, until the bindings do.

import { transport, type JobId, type Model, type ModelId, type Parameters, type PersonaId } from "$api";

export type HashState = "unknown" | "computed" | "verified" | "wrong";
export type Source =
  | { kind: "built_in" }
  | { kind: "file" }
  | { kind: "program"; program: Program }
  | { kind: "hub"; endpoint: string; repository: string; revision: string; file: string }
  | { kind: "url"; url: string }
  | { kind: "made"; from: string };
export type Program = "ollama" | "lm_studio" | "jan" | "model_scope" | "hugging_face";
export type Elsewhere = { program: Program; name: string; quantization: string; bytes: number; chosen: number; here: ModelId | null };
export type MetadataRow = { key: string; kind: string; value: string; length: number };
export type TensorRow = { name: string; shape: number[]; kind: string; bytes: number };
export type ModelInside = { format: string; version: number; metadata: MetadataRow[]; tensors: TensorRow[] };
export type Deletion = { files: string[]; bytes: number; frees: boolean; used_by_chats: number };
export type DiskUse = {
  folder: string;
  models_bytes: number;
  partial_bytes: number;
  deleted_bytes: number;
  free_bytes: number;
  total_bytes: number;
  largest: { model: ModelId; bytes: number }[];
};
export type Recognised = { state: "complete" | "truncated" | "unknown"; name: string; entry: string | null; bytes: number; expected: number | null; chosen: number };
/** What the row gains. */
export type Kept = Omit<Model, "kind"> & { kind: "base" | "chat" | "adapter"; source: Source; family: string; persona: PersonaId | null; hash: HashState; checked_ms: number | null; in_storage: boolean };

export type Dialect = "hugging_face" | "model_scope";
export type EndpointRow = { name: string; url: string; dialect: Dialect; from_environment: boolean; token: "none" | "keyring" | "file" | "environment" };
export type NetworkState = { endpoints: EndpointRow[]; proxy: string; offline: boolean };
export type Reach = { latency_ms: number; bytes_per_second: number | null };
export type Connection = { at_ms: number; host: string; purpose: string; status: number | null; bytes: number; problem: string | null; made: boolean };

const call = <R>(name: string) => (args: object = {}) => transport.call(name, args) as Promise<R>;

export const wire = {
  findElsewhere: call<Elsewhere[]>("find_elsewhere") as () => Promise<Elsewhere[]>,
  recognise: call<JobId>("recognise") as (args: { chosen: number }) => Promise<JobId>,
  readMetadata: call<ModelInside>("read_metadata") as (args: { model: ModelId }) => Promise<ModelInside>,
  verifyModel: call<JobId>("verify_model") as (args: { model: ModelId }) => Promise<JobId>,
  setModel: call<null>("set_model") as (args: { model: ModelId; template?: string | null; parameters: Parameters; persona?: PersonaId | null }) => Promise<null>,
  deletion: call<Deletion>("deletion") as (args: { model: ModelId }) => Promise<Deletion>,
  deleteModel: call<null>("delete_model") as (args: { model: ModelId }) => Promise<null>,
  diskUse: call<DiskUse>("disk_use") as () => Promise<DiskUse>,
  moveStorage: call<JobId>("move_storage") as (args: { chosen: number }) => Promise<JobId>,
  purgeDeleted: call<null>("purge_deleted") as () => Promise<null>,
  merge: call<JobId>("merge") as (args: { base: ModelId; adapter: ModelId; strength: number; name: string }) => Promise<JobId>,
  network: call<NetworkState>("network") as () => Promise<NetworkState>,
  setEndpoints: call<null>("set_endpoints") as (args: { endpoints: { name: string; url: string; dialect: Dialect }[] }) => Promise<null>,
  testEndpoint: call<Reach>("test_endpoint") as (args: { url: string; dialect: Dialect }) => Promise<Reach>,
  setToken: call<"keyring" | "file" | "none">("set_token") as (args: { url: string; token?: string | null }) => Promise<"keyring" | "file" | "none">,
  connections: call<Connection[]>("connections") as (args: { limit: number }) => Promise<Connection[]>,
  forgetConnections: call<null>("forget_connections") as () => Promise<null>,
};
