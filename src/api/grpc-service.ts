/** The service of `membrane.proto`, for servers and clients. */
import { fileURLToPath } from 'node:url'
import { loadSync, type MethodDefinition, type Options, type PackageDefinition } from '@grpc/proto-loader'
import type { ServiceDefinition } from '@grpc/proto-loader'
import type { GetResponseMessage } from './grpc-messages.ts'

/** Beside this module in the sources; a build copies it, and bundles that lie in another folder find it there too. */
export const MEMBRANE_PROTO_PATH = fileURLToPath(new URL('../api/membrane.proto', import.meta.url))

export const SERVICE_NAME = 'membrane.Membrane'

/** Names in the trailing metadata of a call that failed: our code, the id in the node's log, seconds to wait. */
export const ERROR_METADATA = { code: 'membrane-code', requestId: 'membrane-request-id', retryAfter: 'retry-after' }

/** 64-bit numbers beyond 2^53 lose their last bits, and are found not to be safe integers. */
const OPTIONS: Options = { longs: Number, enums: String, defaults: true, oneofs: true }

export interface MembraneService {
  /** All that the file declares, as reflection wants it. */
  readonly declared: PackageDefinition
  /** A server answers Get with messages, or with what `encodeGetResponse` made of them. */
  readonly service: ServiceDefinition
  /** A copy of the data: the memory that it is in may be used for something else before it is sent. */
  readonly encodeGetResponse: (message: GetResponseMessage) => Buffer
}

/** Reads the file; some milliseconds. */
export function loadMembraneService(): MembraneService {
  const declared = loadSync(MEMBRANE_PROTO_PATH, OPTIONS)
  const service = declared[SERVICE_NAME] as ServiceDefinition
  const get: MethodDefinition<object, object> | undefined = service['Get']
  if (get === undefined) throw new Error('Bug: the proto file has no Get')
  const encodeGetResponse = get.responseSerialize
  const responseSerialize = (value: object): Buffer => (Buffer.isBuffer(value) ? value : encodeGetResponse(value))
  return { declared, service: { ...service, Get: { ...get, responseSerialize } }, encodeGetResponse }
}
