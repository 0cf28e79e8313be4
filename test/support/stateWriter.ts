// A process that saves positions and adds dead letters as fast as it can, for tests that kill it. Prints the number of each
// letter once it is durable, and of each position when it was saved. Arguments: the state folder, the first number.
import { writeSync } from 'node:fs'
import { DeadLetters } from '../../src/pipeline/state/deadLetters.ts'
import { PositionStore } from '../../src/pipeline/state/positionStore.ts'
import { systemClock } from '../../src/telemetry/clock.ts'
import { silentLog } from '../../src/telemetry/log.ts'

const [state = '', first = '0'] = process.argv.slice(2)
const parts = { state, log: silentLog, clock: systemClock }
const store = new PositionStore(parts)
const letters = new DeadLetters({ ...parts, fileBytes: 4000 })
store.load('search')
for (let number = Number(first); ; number++) {
  await letters.add('search', [
    { key: String(number), cursor: '', record: Buffer.alloc(200, 0x61), code: 'mapping', reason: 'no' },
  ])
  writeSync(1, `letter ${number}\n`)
  store.save('search', 'machine', { position: String(number) })
  writeSync(1, `position ${number}\n`)
}
