/** HTML that can only be put together with its texts escaped, so that no scenario name becomes markup. */
export interface Html {
  readonly markup: string
}

type Part = Html | string | number | readonly Html[]

/** Joins a template; texts and numbers are escaped, `Html` is taken as it is. */
export function html(texts: TemplateStringsArray, ...parts: readonly Part[]): Html {
  const joined = texts.map((text, k) => {
    const part = parts[k]
    return part === undefined ? text : text + markupOf(part)
  })
  return { markup: joined.join('') }
}

/** For markup that this program made itself: charts, styles, scripts. Never for outside text. */
export function trusted(markup: string): Html {
  return { markup }
}

export const NOTHING: Html = { markup: '' }

function markupOf(part: Part): string {
  if (typeof part === 'string' || typeof part === 'number') return escapeText(String(part))
  return 'markup' in part ? part.markup : part.map(({ markup }) => markup).join('')
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

export function escapeText(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? character)
}
