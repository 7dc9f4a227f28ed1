/** Whether a server would start with its settings: the files that they name are read, and no door is opened. */
import type { EffectiveServerConfig } from '../api/merge-server-config.ts'
import { auditPathOf, openSecurity } from '../server/security.ts'
import { systemStopwatch } from '../server/system-time.ts'
import { printJson, printText, printWarnings } from './print.ts'
import type { GlobalFlags } from './run-command.ts'
import { readCredentialsFile } from './credentials-file.ts'

/** Throws what is wrong; prints what is unwise. */
export async function checkServerConfig(
  { config, notes }: EffectiveServerConfig,
  { json }: GlobalFlags,
): Promise<void> {
  const security = await openSecurity(config, {
    readCredentials: readCredentialsFile,
    clock: { nowMs: Date.now },
    stopwatch: systemStopwatch,
  })
  const warnings = [...notes, ...security.notes]
  if (json === true) {
    printJson({ isUsable: true, warnings, auditFile: auditPathOf(config) })
    return
  }
  printWarnings(warnings)
  printText('The settings can be used.')
}
