/** Numbers as users write them, within the range that a flag takes. Each throws InvalidArgumentError. */
import { InvalidArgumentError } from 'commander'

/** Any finite number: `0.5`, `-3`, `1e6`. */
export function number(text: string): number {
  const value = Number(text)
  if (text.trim() !== '' && Number.isFinite(value)) return value
  throw new InvalidArgumentError('Expected a number.')
}

/** A number, `min` to `max`. */
export function numberBetween(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = number(text)
    if (value >= min && value <= max) return value
    throw new InvalidArgumentError(`Expected a number, ${min} to ${max}.`)
  }
}

/** A whole number, `min` or more: `12`, `1e6`. */
export function wholeNumberOf(min: number): (text: string) => number {
  return (text) => {
    const value = number(text)
    if (Number.isSafeInteger(value) && value >= min) return value
    throw new InvalidArgumentError(`Expected a whole number, ${min} or more.`)
  }
}

/** A whole number, 0 or more. */
export const whole = wholeNumberOf(0)
