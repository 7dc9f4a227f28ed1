/**
 * The gRPC door: the service of `api/membrane.proto`, with health and reflection, over the operations of the node. For
 * interchange and control, and for bytes where nothing else is at hand: HTTP moves them several times as fast.
 *
 * The package's own server takes connections without a bound and hides its sockets, so connections are taken by a
 * listener of ours and handed to it.
 */
import {
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  Server,
  ServerCredentials,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js'
import { ReflectionService } from '@grpc/reflection'
import { HealthImplementation } from 'grpc-health-check'
import { loadMembraneService, SERVICE_NAME } from '../api/grpc-service.ts'
import type {
  GenerateRequestMessage,
  GenerateResponseMessage,
  GetRequestMessage,
  GetResponseMessage,
  PutRequestMessage,
  PutResponseMessage,
  TransferRequestMessage,
  TransferStateMessage,
} from '../api/grpc-messages.ts'
import { LIMITS } from '../core/limits.ts'
import type { Alarm } from '../core/ports.ts'
import { systemAlarm } from '../server/system-time.ts'
import type { Door, DoorOptions } from './door.ts'
import { Admission } from './grpc-admission.ts'
import { clientStream, serverStream, unary } from './grpc-calls.ts'
import { getInPieces, has, headOf, longestPrefix, putInPieces, remove } from './grpc-fragments.ts'
import { openListener } from './grpc-listener.ts'
import { heartbeat, prefill, retrieveFragment, storeFragment, syncInventory } from './grpc-original.ts'
import { explain, generate, rebuild } from './grpc-prompts.ts'
import { transfer } from './grpc-transfer.ts'

/** What the gRPC door is opened with beside what all doors are. */
export interface GrpcDoorOptions extends DoorOptions {
  /** When it is time to give a request up; the system's own by default. */
  readonly alarm?: Alarm
}

/** So often a connection that is quiet is asked whether anybody is there, and is closed when nobody is. */
const KEEPALIVE_MS = 60_000

/** Throws ADDRESS_UNAVAILABLE, and INVALID_CONFIG for certificates that cannot be used. */
export async function openGrpcDoor(options: GrpcDoorOptions): Promise<Door> {
  const { tls, connectionsMax, payloadBytesMax } = options
  const messageBytesMax = Math.min(LIMITS.grpcMessageBytesMax, payloadBytesMax + HEADROOM_BYTES)
  const admission = new Admission({ ...options, messageBytesMax, alarm: options.alarm ?? systemAlarm })
  const server = new Server({
    'grpc.max_receive_message_length': messageBytesMax,
    'grpc.max_send_message_length': -1,
    'grpc.max_concurrent_streams': LIMITS.grpcCallsMax,
    'grpc.keepalive_time_ms': KEEPALIVE_MS,
    'grpc.enable_channelz': 0,
    interceptors: [admission.intercept],
  })
  const { declared, service, encodeGetResponse } = loadMembraneService()
  server.addService(service, handlersOf(options, { admission, encode: encodeGetResponse }))
  const health = new HealthImplementation({ '': 'SERVING', [SERVICE_NAME]: 'SERVING' })
  health.addToServer(server)
  new ReflectionService(declared).addToServer(server)

  // Plain to the package: TLS ends before.
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure())
  const listener = await openListener({
    address: options.address,
    tls,
    connectionsMax,
    connected: (socket) => injector.injectConnection(socket),
  })
  const cut = (): void => {
    server.forceShutdown()
    listener.cut()
  }
  return {
    name: 'grpc',
    address: listener.address,
    isTls: tls !== null,
    get connections() {
      return listener.connections
    },
    renewTls: (renewed) => listener.renewTls(renewed),
    close: async (signal) => {
      for (const name of ['', SERVICE_NAME]) health.setStatus(name, 'NOT_SERVING')
      const closed = listener.close()
      admission.endServices()
      // Says that it is done before its connections are, so it is those that are waited for.
      server.tryShutdown(() => {})
      if (signal.aborted) cut()
      signal.addEventListener('abort', cut, { once: true })
      await closed
      signal.removeEventListener('abort', cut)
    },
  }
}

/** Of a message beside its payload: a description has 64 KiB at most. */
const HEADROOM_BYTES = 128 * 1024

function handlersOf(
  options: GrpcDoorOptions,
  { admission, encode }: { readonly admission: Admission; readonly encode: (message: GetResponseMessage) => Buffer },
): UntypedServiceImplementation {
  const { operations, log, payloadBytesMax } = options
  const { fragments, compute, observe, pulls } = operations
  const parts = { admission, log }
  const put: handleClientStreamingCall<PutRequestMessage, PutResponseMessage> = clientStream(
    parts,
    (requests, context) => putInPieces(fragments, payloadBytesMax, { requests, context }),
  )
  const get: handleServerStreamingCall<GetRequestMessage, GetResponseMessage | Buffer> = serverStream(
    parts,
    (request, context, send) => getInPieces(fragments, request, { context, send, encode }),
  )
  const generated: handleServerStreamingCall<GenerateRequestMessage, GenerateResponseMessage> = serverStream(
    parts,
    (request, context, send) => generate(compute, request, { context, send }),
  )
  const transferred: handleServerStreamingCall<TransferRequestMessage, TransferStateMessage> = serverStream(
    parts,
    (request, context, send) => transfer(pulls, request, { context, send }),
  )
  return {
    StoreFragment: unary(parts, (request, context) => storeFragment(fragments, request, context)),
    RetrieveFragment: unary(parts, (request, context) => retrieveFragment(fragments, request, context)),
    SyncInventory: unary(parts, (request, context) =>
      syncInventory(fragments, request, { nodeId: observe.node, context }),
    ),
    Prefill: unary(parts, (request, context) => prefill(compute, request, context)),
    Heartbeat: unary(parts, (_, context) => heartbeat(observe, context)),
    Put: put,
    Get: get,
    Head: unary(parts, ({ key }: GetRequestMessage, context) => headOf(fragments, key, context)),
    Has: unary(parts, (request, context) => has(fragments, request, context)),
    LongestPrefix: unary(parts, (request, context) => longestPrefix(fragments, request, context)),
    Remove: unary(parts, async (request, context) => ({ removed: await remove(fragments, request, context) })),
    Rebuild: unary(parts, (request, context) => rebuild(compute, request, context)),
    Explain: unary(parts, (request, context) => explain(compute, request, context)),
    Generate: generated,
    Transfer: transferred,
  }
}
