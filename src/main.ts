#!/usr/bin/env node
// The executable: parses arguments, runs one command, sets the exit status. Everything else is in cli/.
import { main } from './cli/program.ts'

process.exitCode = await main(process.argv.slice(2))
