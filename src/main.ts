#!/usr/bin/env node
// The executable: parses arguments, runs one command, sets the exit status. Everything else is in cli/.
import { enableCompileCache } from 'node:module'
import { join } from 'node:path'

// Run from its sources, Node strips the types of each file at each start, which is most of what a short command costs
// (`read -n 1`: 0.4 s of CPU, with the cache 0.15 s). The cache lies among the packages and is trusted as they are.
if (import.meta.filename.endsWith('.ts')) {
  enableCompileCache(join(import.meta.dirname, '../node_modules/.cache/logferry'))
}

const { main } = await import('./cli/program.ts')
process.exit(await main(process.argv.slice(2)))
