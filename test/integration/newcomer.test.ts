// What README tells a newcomer to type, typed literally in a fresh clone, and the packed package in an empty folder.
import { type ExecFileSyncOptions, execFileSync, spawn } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { beforeAll, expect, it } from 'vitest'
import { openFixture } from '../support/fixtures.ts'
import { describeWith } from '../support/needs.ts'
import { until } from '../support/program.ts'
import { tempDir } from '../support/tempDir.ts'

const ROOT = join(import.meta.dirname, '../..')

/** The environment of somebody who has just opened a terminal: nothing of this test run, and the machine's own Node. */
const ENV: NodeJS.ProcessEnv = Object.fromEntries(
  Object.entries(process.env)
    .filter(([name]) => !/^(npm_|VITEST|NODE_|LOGFERRY_TEST|INIT_CWD|CI$)/.test(name))
    .map(([name, value]) => [
      name,
      name === 'PATH'
        ? value
            ?.split(delimiter)
            .filter((dir) => !dir.includes('node_modules'))
            .join(delimiter)
        : value,
    ]),
)

function run(command: string, cwd: string, options: ExecFileSyncOptions = {}): string {
  return String(
    execFileSync('bash', ['-c', command], {
      cwd,
      env: ENV,
      stdio: ['ignore', 'pipe', 'pipe'],
      maxBuffer: 1 << 26,
      ...options,
    }),
  )
}

/** The commands of README's first code block, without their comments. */
function firstCommands(): string[] {
  const block = /```sh\n([\s\S]*?)```/.exec(readFileSync(join(ROOT, 'README.md'), 'utf8'))?.[1] ?? ''
  return block
    .split('\n')
    .map((line) => line.replace(/\s+#.*/, ''))
    .filter((line) => line !== '')
}

describeWith(['git', 'npm'], 'a newcomer', () => {
  const home = tempDir()
  const clone = join(home, 'logferry')

  beforeAll(() => {
    run(`git clone --quiet --no-local ${ROOT} ${clone}`, home)
  })

  it('finds the two commands at the top of README', () => {
    expect(firstCommands()).toEqual(['npm ci && npm start', 'npm ci && npm test'])
  })

  it('runs the first command and sees log lines, of the machine or of the sample', async () => {
    const child = spawn('bash', ['-c', firstCommands()[0] as string], {
      cwd: clone,
      env: ENV,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
    })
    const ended = new Promise((resolve) => child.on('close', resolve))
    try {
      // `Jan 01 00:00:00 host identifier[1]: message`, as journalctl prints
      await until(
        'log lines',
        () => /^[A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d \S+ \S+: ?.*$/m.test(stdout) || child.exitCode !== null,
        180_000,
      )
      expect(stdout, stderr).toMatch(/^[A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d \S+ \S+: ?.*$/m)
    } finally {
      // Ctrl-C reaches the whole foreground group
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGINT')
      await ended
    }
    // Nothing that git would show is left behind.
    expect(run('git status --porcelain', clone)).toBe('')
  })

  it('validates and runs the configuration that README shows', () => {
    const yaml = /```yaml\n([\s\S]*?)```/.exec(readFileSync(join(ROOT, 'README.md'), 'utf8'))?.[1] as string
    writeFileSync(join(home, 'logferry.yaml'), yaml)
    run(`PATH=${clone}/node_modules/.bin:$PATH node ${clone}/src/main.ts validate -c logferry.yaml`, home)
  })

  for (const major of [24, 26]) {
    it(`installs the packed package in an empty folder and ships with Node ${major} alone`, () => {
      const fixture = openFixture('rotated')
      const empty = join(home, `node-${major}`)
      mkdirSync(empty)
      const [tarball] = readdirSync(clone).filter((name) => name.endsWith('.tgz'))
      if (tarball === undefined) run('npm pack --silent', clone)
      const packed = join(clone, readdirSync(clone).filter((name) => name.endsWith('.tgz'))[0] as string)
      writeFileSync(
        join(empty, 'package.json'),
        JSON.stringify({ private: true, allowScripts: { node: true, koffi: true } }),
      )
      run(`npm install --silent node@${major}`, empty)
      run(`npm install --silent --omit=dev ${packed}`, empty)
      const logferry = (args: string) => run(`PATH=$PWD/node_modules/.bin:$PATH logferry ${args}`, empty)
      expect(logferry('--version')).toMatch(/^\d+\.\d+\.\d+\n$/)
      expect(logferry(`read -D ${fixture.dir} -o export`)).toBe(String(fixture.oracle('export')))
      const config = 'state: ./state\nsinks:\n  out: { type: file, path: ./out.ndjson }\n'
      writeFileSync(join(empty, 'logferry.yaml'), config)
      logferry('validate -c logferry.yaml')
      logferry(`backfill -c logferry.yaml --sink out -D ${fixture.dir}`)
      expect(readFileSync(join(empty, 'out.ndjson'), 'utf8').trimEnd().split('\n')).toHaveLength(
        fixture.facts.oracle_entries,
      )
    })
  }

  it('takes less than 75 MB without the development packages', () => {
    const size = run(
      'rm -rf slim && git clone --quiet --no-local logferry slim && cd slim && npm ci --silent --omit=dev && du -sm node_modules',
      home,
    )

    expect(Number(/^(\d+)/.exec(size)?.[1])).toBeLessThan(75)
  })
})
