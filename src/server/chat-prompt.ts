/**
 * A conversation as the tokens that a model was trained to see: its own template, filled in. Only the template can write
 * special tokens. A message that spells one out stays text, so nobody ends a turn, or speaks as the system, from within
 * a message.
 */
import { Template } from '@huggingface/jinja'
import type { ChatForm, Tokenizer } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import type { ChatMessage } from './generation.ts'

/** For models that only continue texts: who speaks, and what. */
const PLAIN_FORM: ChatForm = {
  template:
    '{% for m in messages %}{{ m.role | capitalize }}: {{ m.content }}\n\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}',
  specialTokens: new Map(),
  startText: '',
  endText: '',
}

/** Ready for the assistant's answer. Throws INVALID_REQUEST for a conversation that the template refuses. */
export function chatTokens(
  { tokenizer, chat }: { readonly tokenizer: Tokenizer; readonly chat: ChatForm | null },
  messages: readonly ChatMessage[],
): Uint32Array {
  const form = chat ?? PLAIN_FORM
  const mark = unusedCharacter(messages)
  const special = specialPattern(form)
  const known = [...form.specialTokens.keys()]
  // A template that trims or counts lines sees the same as it would otherwise.
  const hide = (text: string): string =>
    special === null ? text : text.replaceAll(special, (name) => `${mark}${known.indexOf(name)}${mark}`)
  const hidden = new RegExp(`${mark}(\\d+)${mark}`, 'gu')
  const show = (text: string): string => text.replaceAll(hidden, (_, index: string) => known[Number(index)] ?? '')
  const rendered = render(
    form,
    messages.map(({ role, text }) => ({ role, content: hide(text) })),
  )
  const starts = form.startText !== '' && rendered.startsWith(form.startText) ? [] : tokenizer.startTokens
  const pieces = special === null ? [rendered] : rendered.split(special)
  const names = special === null ? [] : (rendered.match(special) ?? [])
  const tokenIds: number[] = [...starts]
  for (const [index, piece] of pieces.entries()) {
    if (piece !== '') for (const id of tokenizer.encode(show(piece))) tokenIds.push(id)
    const id = form.specialTokens.get(names[index] ?? '')
    if (id !== undefined) tokenIds.push(id)
  }
  return Uint32Array.from(tokenIds)
}

function render({ template, startText, endText }: ChatForm, messages: readonly object[]): string {
  try {
    return new Template(template).render({
      messages,
      add_generation_prompt: true,
      bos_token: startText,
      eos_token: endText,
    })
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new MembraneError('INVALID_REQUEST', `The model's chat template does not take this conversation: ${reason}`, {
      cause,
    })
  }
}

/** Finds special tokens in a text, the longest where several begin. */
function specialPattern({ specialTokens }: ChatForm): RegExp | null {
  const names = [...specialTokens.keys()].toSorted((a, b) => b.length - a.length)
  return names.length === 0
    ? null
    : new RegExp(names.map((name) => name.replaceAll(/[\\^$.*+?()[\]{}|]/g, String.raw`\$&`)).join('|'), 'g')
}

/** Of the private characters, one that nobody sent. */
function unusedCharacter(messages: readonly ChatMessage[]): string {
  for (let code = 0x10fffd; code > 0x100000; code -= 1) {
    const character = String.fromCodePoint(code)
    if (messages.every(({ text }) => !text.includes(character))) return character
  }
  throw new MembraneError('INVALID_REQUEST', 'The conversation uses every private character there is.')
}
