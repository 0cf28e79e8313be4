// What sinks are told of the machine they run on.
import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import type { SinkHost } from '../../sink.ts'

/** This machine. The id is empty where there is none, as in many containers. */
export function thisNode(): SinkHost['node'] {
  return { hostname: hostname(), machineId: machineId(), agentId: undefined }
}

function machineId(): string {
  try {
    return readFileSync('/etc/machine-id', 'utf8').trim()
  } catch {
    return '' // No such file: it has no id.
  }
}
