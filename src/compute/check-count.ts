import { MembraneError } from '../core/errors.ts'

/** Throws INVALID_CONFIG when an option is no whole number in its range. */
export function checkCount(name: string, count: number, min: number, max: number): void {
  if (!Number.isSafeInteger(count) || count < min || count > max)
    throw new MembraneError('INVALID_CONFIG', `${name} is a whole number from ${min} to ${max}; found ${count}.`)
}
