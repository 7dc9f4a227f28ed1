/** The service of `membrane.proto`, for servers and clients; chunks of payloads are coded by hand. */
import { fileURLToPath } from 'node:url'
import {
  type MethodDefinition,
  loadSync,
  type Options,
  type PackageDefinition,
  type ServiceDefinition,
} from '@grpc/proto-loader'
import { decodeChunk, encodeChunk } from './grpc-chunk.ts'
import type { ChunkMessage } from './grpc-messages.ts'

/** Beside this module in the sources; a build copies it, and bundles that lie in another folder find it there too. */
export const MEMBRANE_PROTO_PATH = fileURLToPath(new URL('../api/membrane.proto', import.meta.url))

export const SERVICE_NAME = 'membrane.Membrane'

/** 64-bit numbers beyond 2^53 lose their last bits, and are found not to be safe integers. */
const OPTIONS: Options = { longs: Number, enums: String, defaults: true, oneofs: true }

export interface MembraneService {
  /** All that the file declares, as reflection wants it. */
  readonly declared: PackageDefinition
  readonly service: ServiceDefinition
}

/** Reads the file; some milliseconds. */
export function loadMembraneService(): MembraneService {
  const declared = loadSync(MEMBRANE_PROTO_PATH, OPTIONS)
  const service = declared[SERVICE_NAME] as ServiceDefinition
  const { Put, Get, ...others } = service
  if (Put === undefined || Get === undefined) throw new Error('Bug: the proto file has no Put and Get')
  return { declared, service: { ...others, Put: withFastRequest(Put), Get: withFastResponse(Get) } }
}

type Method = MethodDefinition<object, object>

function withFastRequest(method: Method): Method {
  const { requestSerialize, requestDeserialize } = method
  return {
    ...method,
    requestSerialize: (value) => (isChunk(value) ? encodeChunk(value) : requestSerialize(value)),
    requestDeserialize: (bytes) => decodeChunk(bytes) ?? requestDeserialize(bytes),
  }
}

function withFastResponse(method: Method): Method {
  const { responseSerialize, responseDeserialize } = method
  return {
    ...method,
    // The sender encodes chunks itself: their memory may be the store's own, and writing waits.
    responseSerialize: (value) => (Buffer.isBuffer(value) ? value : responseSerialize(value)),
    responseDeserialize: (bytes) => decodeChunk(bytes) ?? responseDeserialize(bytes),
  }
}

function isChunk(value: object): value is ChunkMessage {
  return 'data' in value && !('header' in value)
}
