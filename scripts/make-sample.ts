// Makes config/sample/sample.journal.gz, what `npm start` ships on a machine without a readable journal. Needs systemd-journal-remote.
// The file's machine id is replaced, so that nothing of the machine that made it is in it.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { writeJournal } from '../test/support/journals.ts'

const MACHINE_ID_OFFSET = 40 // systemd journal-def.h, Header.machine_id
const out = join(import.meta.dirname, '../config/sample')
mkdirSync(out, { recursive: true })
const path = await writeJournal(out, 'sample.journal', {
  entries: 120,
  profile: 'dcos-node',
  seed: 42,
  start: 1_767_225_600_000_000,
})
const bytes = readFileSync(path)
Buffer.from('5a3be1f0c0de4a11b0a700000000cafe', 'hex').copy(bytes, MACHINE_ID_OFFSET)
writeFileSync(join(out, 'sample.journal.gz'), gzipSync(bytes, { level: 9 }))
rmSync(path)
