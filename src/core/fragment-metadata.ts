/**
 * The signature inside a payload, as its safetensors metadata: a file that left its store still says what it is, and
 * bytes that were filed under another description are found out.
 */
import { MembraneError } from './errors.ts'
import type { Span, StructuralSignature } from './fragment.ts'
import type { Metadata } from './safetensors-writer.ts'

export function signatureMetadata(signature: StructuralSignature): Metadata {
  const { model, kind, tokens, layers, heads, dtype, layout, positionEncoding } = signature
  return {
    model,
    kind,
    tokens: spanText(tokens),
    layers: spanText(layers),
    heads: heads === null ? 'all' : spanText(heads),
    dtype,
    layout,
    positionEncoding,
  }
}

/**
 * Files of other writers need not have this metadata, but what they have of it must agree with the description.
 * Throws INVALID_FRAGMENT.
 */
export function checkMetadata(signature: StructuralSignature, metadata: ReadonlyMap<string, string>): void {
  for (const [name, expected] of Object.entries(signatureMetadata(signature))) {
    const found = metadata.get(name)
    if (found !== undefined && found !== expected)
      throw new MembraneError(
        'INVALID_FRAGMENT',
        `The payload's metadata must have the ${name} of its description, ${expected}; found ${JSON.stringify(found)}.`,
        { details: { name, expected, found } },
      )
  }
}

function spanText({ start, end }: Span): string {
  return `${start}-${end}`
}
