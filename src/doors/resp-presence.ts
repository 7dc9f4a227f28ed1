/** EXISTS, alone and many at once: what is there is leased, so that who was told so finds it. */
import { type RespReply, respInteger } from '../api/resp-codec-replies.ts'
import type { Caller } from '../server/caller.ts'
import type { Operations } from '../server/operations.ts'
import { keyOf } from './resp-arguments.ts'
import type { RespArgs } from './resp-command.ts'

/** Answers can be had for many of these together. */
export function isPresenceQuestion(name: string): boolean {
  return name === 'exists'
}

/** HOT: one answer for each question, each of them an EXISTS with its keys; a key that is named twice counts twice. */
export async function presenceOf(
  operations: Operations,
  caller: Caller,
  questions: readonly RespArgs[],
  failed: (error: unknown) => RespReply,
): Promise<readonly RespReply[]> {
  try {
    return await askTogether(operations, caller, questions)
  } catch (error) {
    if (questions.length === 1) return [failed(error)]
    // One of them may be wrong: each for itself, so that the others have their answers.
    const replies: RespReply[] = []
    for (const question of questions) replies.push(...(await presenceOf(operations, caller, [question], failed)))
    return replies
  }
}

async function askTogether(
  operations: Operations,
  caller: Caller,
  questions: readonly RespArgs[],
): Promise<readonly RespReply[]> {
  const keys: string[] = []
  for (const args of questions)
    for (let index = 1; index < args.length; index++) keys.push(keyOf(args[index] as Uint8Array))
  const { isPresent } = await operations.fragments.has(caller, keys)
  let at = 0
  return questions.map((args) => {
    let count = 0
    for (const end = at + args.length - 1; at < end; at++) if (isPresent[at] === true) count += 1
    return respInteger(count)
  })
}
