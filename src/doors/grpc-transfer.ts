/** A node told to copy from another one, over gRPC: how far it is, as it changes. */
import { randomUUID } from 'node:crypto'
import type { TransferRequestMessage, TransferStateMessage } from '../api/grpc-messages.ts'
import { type PullOperations, type PullState, pullState } from '../server/pull-operations.ts'
import type { CallContext } from './grpc-admission.ts'
import type { Send } from './grpc-calls.ts'

interface TransferCall {
  readonly context: CallContext
  readonly send: Send<TransferStateMessage>
}

/** Ends when the transfer has; a client that goes away does not stop it. */
export async function transfer(
  pulls: PullOperations,
  { peer, token, tls }: TransferRequestMessage,
  { context: { caller, signal }, send }: TransferCall,
): Promise<void> {
  const started = await pulls.start(
    { caller, requestId: randomUUID() },
    { peer, token: token === '' ? null : token, isTls: tls },
  )
  for await (const pull of pulls.follow(caller, started.id, signal)) await send(messageOf(pullState(pull)))
}

function messageOf(state: PullState): TransferStateMessage {
  const { wantedFragments, wantedBytes, fetched, linked, unfinished, error } = state
  const { id, peer, acceptedBytes, resumedBytes, discardedBytes, cuts } = state
  return {
    id,
    peer,
    state: state.state,
    ...(wantedFragments === null ? {} : { wantedFragments }),
    ...(wantedBytes === null ? {} : { wantedBytes }),
    acceptedBytes,
    resumedBytes,
    discardedBytes,
    cuts,
    ...(fetched === null ? {} : { fetched }),
    ...(linked === null ? {} : { linked }),
    ...(unfinished === null ? {} : { unfinished }),
    errorCode: error?.code ?? '',
    errorMessage: error?.message ?? '',
  }
}
