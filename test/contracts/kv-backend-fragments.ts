/** The way of KV through fragments: cut at blocks, named, written as payloads, and back. */
import { buildState, parseKv, parseState } from '../../src/core/fragment-kv.ts'
import { layerTensorName } from '../../src/core/fragment-tensors.ts'
import type { ContextPart } from '../../src/core/compute.ts'
import type { Fragment } from '../../src/core/fragment.ts'
import type { Tensor } from '../../src/core/safetensors.ts'
import { fragmentizeTensors } from '../../src/reconstruct/fragmentize.ts'
import { blockOf } from '../arbitrary-tensors.ts'
import { joinPieces } from '../join-pieces.ts'
import { BLOCK_TOKENS } from './kv-backend-fixtures.ts'

/** Of whole blocks. A state becomes a fragment of the last block. */
export function fragmentsOf(parts: readonly ContextPart[], fragmentTokens: number): readonly Fragment[] {
  return parts.flatMap((part) =>
    part.signature.kind === 'kv' ? kvFragments(part, fragmentTokens) : [stateFragment(part)],
  )
}

/** What `write` takes of a fragment. */
export function partsOf({ description, payload }: Fragment): readonly ContextPart[] {
  const { signature } = description
  if (signature.kind === 'kv') {
    const tensors = parseKv(signature, payload).flatMap(({ layer, k, v }): readonly Tensor[] => [
      { ...k, name: layerTensorName(layer, 'k') },
      ...(v === null ? [] : [{ ...v, name: layerTensorName(layer, 'v') }]),
    ])
    return [{ pool: 'kv', signature, tensors }]
  }
  const tensors = parseState(signature, payload).flatMap(({ layer, state, conv }): readonly Tensor[] => [
    { ...state, name: layerTensorName(layer, 'state') },
    ...(conv === null ? [] : [{ ...conv, name: layerTensorName(layer, 'conv') }]),
  ])
  return [{ pool: description.group?.pool ?? 'state', signature, tensors }]
}

function kvFragments({ signature, tensors }: ContextPart, fragmentTokens: number): readonly Fragment[] {
  const first = signature.tokens.start / BLOCK_TOKENS
  const count = Math.floor((signature.tokens.end - signature.tokens.start) / BLOCK_TOKENS)
  const whole = {
    signature,
    parent: first === 0 ? null : blockOf(first - 1),
    blocks: Array.from({ length: count }, (_, block) => blockOf(first + block)),
    sequence: null,
  }
  return fragmentizeTensors(whole, tensors, { blockTokens: BLOCK_TOKENS, fragmentTokens }).fragments
}

function stateFragment({ pool, signature, tensors }: ContextPart): Fragment {
  const { end } = signature.tokens
  const ofBlock = { ...signature, tokens: { start: end - BLOCK_TOKENS, end } }
  const named = new Map(tensors.map(({ name, ...data }) => [name, data]))
  const layers = Array.from({ length: signature.layers.end }, (_, layer) => layer).flatMap((layer) => {
    const state = named.get(layerTensorName(layer, 'state'))
    return state === undefined ? [] : [{ layer, state, conv: named.get(layerTensorName(layer, 'conv')) ?? null }]
  })
  const block = end / BLOCK_TOKENS - 1
  return {
    description: {
      signature: ofBlock,
      parent: block === 0 ? null : blockOf(block - 1),
      blocks: [blockOf(block)],
      blockTokens: BLOCK_TOKENS,
      group: { id: `state-${end}`, part: 0, parts: 1, pool },
      text: null,
      sequence: null,
      derivedFrom: [],
    },
    payload: joinPieces(buildState(ofBlock, layers).payload),
  }
}
