/** How a byte-level vocabulary cuts a text into words, within which alone symbols are joined. Every character is in one word. */
import { invalidModel } from './gguf-cursor.ts'

/** Cuts a text into words. */
export interface WordSplit {
  readonly words: (text: string) => Iterable<string>
  /** A word that is a token as a whole is that token, whatever the merges say. */
  readonly isWholeWordFirst: boolean
  /** Whether prompts begin with the start token where the file does not say it. */
  readonly addsStart: boolean
}

// The authors' `\s` is Unicode's White_Space; JavaScript's own has U+FEFF and lacks U+0085.
const SPACE = String.raw`\p{White_Space}`
const NOT_SPACE = String.raw`\P{White_Space}`
const OTHER = String.raw`[^\p{White_Space}\p{L}\p{N}]`
const SPACES = `${SPACE}+(?!${NOT_SPACE})|${SPACE}+`
const CONTRACTIONS = "'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])"
const LETTERS = String.raw`[^\r\n\p{L}\p{N}]?\p{L}+`
const LINES = String.raw`${SPACE}*[\r\n]+`

/** `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+` */
const GPT2 = new RegExp(String.raw`'(?:[stmd]|re|ve|ll)| ?\p{L}+| ?\p{N}+| ?${OTHER}+|${SPACES}`, 'gu')
/** As GPT2 in each stretch between digits, every digit a word: a stretch ends at a digit as it does at the text's end. */
const SMOLLM = new RegExp(
  String.raw`\p{N}|'(?:[stmd]|re|ve|ll)| ?\p{L}+| ?${OTHER}+|${SPACE}+(?![^\p{White_Space}\p{N}])|${SPACE}+`,
  'gu',
)
/** `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+` */
const LLAMA3 = new RegExp(String.raw`${CONTRACTIONS}|${LETTERS}|\p{N}{1,3}| ?${OTHER}+[\r\n]*|${LINES}|${SPACES}`, 'gu')
/** As LLAMA3 with single digits. */
const QWEN2 = new RegExp(String.raw`${CONTRACTIONS}|${LETTERS}|\p{N}| ?${OTHER}+[\r\n]*|${LINES}|${SPACES}`, 'gu')

const SPLITS: Readonly<Record<string, WordSplit>> = {
  'gpt-2': { words: (text) => matches(GPT2, text), isWholeWordFirst: false, addsStart: false },
  smollm: { words: (text) => matches(SMOLLM, text), isWholeWordFirst: false, addsStart: false },
  'llama-bpe': { words: (text) => matches(LLAMA3, text), isWholeWordFirst: true, addsStart: true },
  // This family's tokenizer composes characters first (NFC).
  qwen2: { words: (text) => matches(QWEN2, text.normalize('NFC')), isWholeWordFirst: false, addsStart: false },
}
const ALIASES: Readonly<Record<string, string>> = { gpt2: 'gpt-2', llama3: 'llama-bpe', 'llama-v3': 'llama-bpe' }

/**
 * By the name that a file gives in `tokenizer.ggml.pre`. Throws INVALID_MODEL for one whose rules are not known exactly,
 * `default` among them: it says that whoever converted the model did not know them.
 */
export function wordSplitOf(name: string): WordSplit {
  const known = Object.hasOwn(ALIASES, name) ? ALIASES[name] : name
  const split = Object.hasOwn(SPLITS, known ?? '') ? SPLITS[known ?? ''] : undefined
  if (split !== undefined) return split
  throw invalidModel(
    `The model splits texts by the rules ${JSON.stringify(name)} (tokenizer.ggml.pre); ${Object.keys(SPLITS).join(', ')} are known.`,
    { pre: name },
  )
}

function* matches(expression: RegExp, text: string): Iterable<string> {
  for (const match of text.matchAll(expression)) yield match[0]
}
