/**
 * What agents keep beside KV, and bytes under foreign keys, as payloads and back, bit for bit. A tool trace has
 * several parts and is a safetensors file like KV; an artifact's and an opaque fragment's bytes are the payload.
 */
import { MembraneError } from './errors.ts'
import type { FragmentContent } from './fragment-kv.ts'
import { checkMetadata, signatureMetadata } from './fragment-metadata.ts'
import type { ByteKind, FragmentDescription, StructuralSignature } from './fragment.ts'
import { parseModelFingerprint } from './ids.ts'
import { safetensorsPieces } from './safetensors-writer.ts'
import { readSafetensors, type Tensor } from './safetensors.ts'

/** Stands where a fragment belongs to no model. */
export const NO_MODEL = parseModelFingerprint('0'.repeat(64))

const TOOL_TRACE_TYPE = 'application/vnd.membrane.tool-trace+safetensors'

/** One call of a tool, as the model made it, and what came back. */
export interface ToolTrace {
  readonly tool: string
  /** The id that the model gave the call, or an empty text. */
  readonly callId: string
  readonly outcome: 'ok' | 'error'
  /** As the model wrote them, not parsed: another spelling of the same JSON is other tokens. */
  readonly arguments: Uint8Array
  readonly result: Uint8Array
}

/** Anything that agents keep: a document, an image, a plan. */
export interface Artifact {
  /** Such as `text/markdown; charset=utf-8`; 1 to LIMITS.fragmentLabelCharactersMax printable ASCII characters. */
  readonly mediaType: string
  readonly bytes: Uint8Array
}

/**
 * A whole description of bytes that belong to no model and have no tokens, layers and context. `text` is for the
 * semantic index, `sequence` for the positional one; null keeps the fragment out of it.
 */
export function byteDescription(
  kind: ByteKind,
  mediaType = 'application/octet-stream',
  { text = null, sequence = null }: Partial<Pick<FragmentDescription, 'text' | 'sequence'>> = {},
): FragmentDescription {
  const signature = byteSignature(kind, mediaType)
  return { signature, parent: null, blocks: [], blockTokens: 1, group: null, text, sequence, derivedFrom: [] }
}

function byteSignature(kind: ByteKind, mediaType: string): StructuralSignature {
  return {
    model: NO_MODEL,
    kind,
    tokens: { start: 0, end: 0 },
    layers: { start: 0, end: 0 },
    heads: null,
    dtype: 'U8',
    layout: mediaType,
    positionEncoding: 'none',
  }
}

/** The bytes are the payload, not copied. */
export function buildArtifact({ mediaType, bytes }: Artifact): FragmentContent {
  return ofBytes(byteSignature('artifact', mediaType), bytes)
}

/** The bytes are the payload, not copied. Throws INVALID_FRAGMENT for a signature of another kind. */
export function parseArtifact(signature: StructuralSignature, payload: Uint8Array): Artifact {
  requireKind(signature, 'artifact')
  return { mediaType: signature.layout, bytes: payload }
}

/** Bytes that came under a foreign key, and go back as they are. */
export function buildOpaque(bytes: Uint8Array): FragmentContent {
  return ofBytes(byteSignature('opaque', 'application/octet-stream'), bytes)
}

/** Throws INVALID_FRAGMENT for a tool or an id with a lone surrogate. */
export function buildToolTrace(trace: ToolTrace): FragmentContent {
  const signature = byteSignature('tool-trace', TOOL_TRACE_TYPE)
  const { tool, callId, outcome } = trace
  const payload = safetensorsPieces([bytesTensor('arguments', trace.arguments), bytesTensor('result', trace.result)], {
    ...signatureMetadata(signature),
    tool,
    callId,
    outcome,
  })
  return { signature, payload }
}

/** Arguments and result are views of the payload. Throws INVALID_FRAGMENT for anything that `buildToolTrace` did not write. */
export function parseToolTrace(signature: StructuralSignature, payload: Uint8Array): ToolTrace {
  requireKind(signature, 'tool-trace')
  const { metadata, tensors } = readSafetensors(payload)
  checkMetadata(signature, metadata)
  const [first, second, ...more] = tensors
  const tool = metadata.get('tool')
  const callId = metadata.get('callId')
  const outcome = metadata.get('outcome')
  const isTrace = isBytes(first, 'arguments') && isBytes(second, 'result') && more.length === 0
  if (!isTrace || tool === undefined || callId === undefined || (outcome !== 'ok' && outcome !== 'error'))
    throw new MembraneError(
      'INVALID_FRAGMENT',
      'A tool trace has tool, callId and outcome (ok, error) as metadata, and two tensors of U8: arguments and result.',
    )
  return { tool, callId, outcome, arguments: first.data, result: second.data }
}

function ofBytes(signature: StructuralSignature, bytes: Uint8Array): FragmentContent {
  return { signature, payload: { payloadBytes: bytes.length, pieces: [bytes] } }
}

function bytesTensor(name: string, data: Uint8Array): Tensor {
  return { name, dtype: 'U8', shape: [data.length], data }
}

function isBytes(tensor: Tensor | undefined, name: string): tensor is Tensor {
  return tensor?.name === name && tensor.dtype === 'U8' && tensor.shape.length === 1
}

function requireKind(signature: StructuralSignature, kind: ByteKind): void {
  if (signature.kind !== kind)
    throw new MembraneError('INVALID_FRAGMENT', `A fragment of kind ${kind} was expected; found ${signature.kind}.`)
}
