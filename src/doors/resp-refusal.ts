/** Refusing a RESP command, in the words that Redis has for it. */

/** An answer that ends a command early; anything else that is thrown is an error of the operations, or a bug. */
export class RespRefusal extends Error {
  override readonly name = 'RespRefusal'
}

export function refuse(text: string): RespRefusal {
  return new RespRefusal(text)
}

export const SYNTAX = 'ERR syntax error'
export const NOT_INTEGER = 'ERR value is not an integer or out of range'
