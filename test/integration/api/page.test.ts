// The log page in a real browser: what it shows, how it is used, and that nothing in a log line is ever more than text.
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { get, startTestApi, type TestApi } from '../../support/api.ts'
import { ApiJournal, entryAt } from '../../support/apiJournal.ts'
import { type Browser, type Page, startBrowser } from '../../support/browser.ts'
import { writeJournal } from '../../support/journals.ts'
import { describeWith } from '../../support/needs.ts'
import { tempDir } from '../../support/tempDir.ts'

const ENTRIES = 6000
const EVIL = '<img src=x onerror="document.title=1"><script>document.title=2</script>'

describeWith(['systemd-journal-remote', 'chromium'], 'the log page', () => {
  const home = tempDir()
  let browser: Browser
  let journal: ApiJournal
  let api: TestApi
  let large: TestApi
  const pages: Page[] = []

  beforeAll(async () => {
    browser = await startBrowser()
    const now = Math.floor(Date.now() / 1000) - 1_700_000_000
    const entries = Array.from({ length: 300 }, (_, i) => {
      const unit = i % 3 === 0 ? 'web.service' : 'db.service'
      const message = i === 299 ? EVIL : `line ${i}`
      return entryAt(now - 400 + i, {
        MESSAGE: message,
        PRIORITY: String(i % 8),
        SYSLOG_IDENTIFIER: 'prog',
        _PID: '7',
        _SYSTEMD_UNIT: unit,
      })
    })
    journal = new ApiJournal(join(home, 'small'), entries)
    api = await startTestApi({ dir: journal.dir })
    await writeJournal(join(home, 'large'), 'system', { entries: ENTRIES, profile: 'web', seed: 3 })
    large = await startTestApi({ dir: join(home, 'large') })
  })
  afterAll(async () => {
    for (const page of pages) await page.close()
    await browser.close()
    await api.close()
    await large.close()
  })

  async function visit(port: number, hash = ''): Promise<Page> {
    const page = await browser.open(`http://127.0.0.1:${port}/${hash}`)
    pages.push(page)
    return page
  }
  const rows = "document.querySelectorAll('.entry').length"
  const lastMessage = "[...document.querySelectorAll('.message')].at(-1).textContent"
  const has = (text: string) =>
    `[...document.querySelectorAll('.message')].some((one) => one.textContent === ${JSON.stringify(text)})`

  it('comes with a policy that lets it load and send nothing elsewhere', async () => {
    const { headers, text } = await get(api.port, '/')
    expect(headers['content-security-policy']).toMatch(/default-src 'none'.*frame-ancestors 'none'/)
    expect(headers['x-content-type-options']).toBe('nosniff')
    expect(text).not.toMatch(/\bstyle=|\bon\w+=|https?:/)
  })

  it('shows the newest entries and follows, with text as text', async () => {
    const page = await visit(api.port)
    await page.until(`${rows} > 100 && document.body.dataset.state === 'live'`)
    expect(await page.value(lastMessage)).toBe(EVIL)
    expect(await page.value('document.title')).toBe('Log')
    journal.append(entryAt(Math.floor(Date.now() / 1000) - 1_700_000_000, { MESSAGE: 'came later', PRIORITY: '3' }))
    await page.until(has('came later'), 5000)
    await page.screenshot('live-light')
    await page.dark(true)
    await page.screenshot('live-dark')
    expect(page.complaints).toEqual([])
  })

  it('pauses, and goes on without a gap', async () => {
    const page = await visit(api.port)
    await page.until(`document.body.dataset.state === 'live'`)
    await page.key(' ')
    await page.until(`document.body.dataset.state === 'paused'`)
    const second = Math.floor(Date.now() / 1000) - 1_700_000_000
    journal.append(entryAt(second, { MESSAGE: 'while paused' }))
    await new Promise((resolve) => setTimeout(resolve, 700))
    expect(await page.value(has('while paused'))).toBe(false)
    await page.key(' ')
    await page.until(`${has('while paused')} && document.body.dataset.state === 'live'`)
    journal.append(entryAt(second + 1, { MESSAGE: 'and on' }))
    await page.until(has('and on'))
    expect(
      await page.value(
        `[...document.querySelectorAll('.message')].filter((one) => one.textContent === 'while paused').length`,
      ),
    ).toBe(1)
  })

  it('filters by component, priority, text and time', async () => {
    const page = await visit(api.port, '#unit=web.service&priority=3&grep=line')
    await page.until(`${rows} > 0`)
    const shown = await page.value<{ unit: string; priority: string }[]>(
      `[...document.querySelectorAll('.entry')].map(({ entry }) => ({ unit: entry.fields._SYSTEMD_UNIT, priority: entry.fields.PRIORITY }))`,
    )
    expect(shown.every(({ unit, priority }) => unit === 'web.service' && Number(priority) <= 3)).toBe(true)
    await page.until(`document.querySelector('#unit option[value="db.service"]')`)
    await page.value(
      `(document.querySelector('#unit').value = 'db.service', document.querySelector('#unit').dispatchEvent(new Event('change')))`,
    )
    await page.until(
      `[...document.querySelectorAll('.entry')].every(({ entry }) => entry.fields._SYSTEMD_UNIT === 'db.service') && ${rows} > 0`,
    )
    expect(await page.value('location.hash')).toContain('unit=db.service')
    await page.value(
      `(document.querySelector('#since').value = 'tomorrow', document.querySelector('#filters').requestSubmit())`,
    )
    await page.until(`${rows} === 0 && document.body.dataset.state !== 'loading'`)
    await page.value(
      `(document.querySelector('#since').value = 'no time', document.querySelector('#filters').requestSubmit())`,
    )
    await page.until(`document.body.dataset.state === 'error'`)
    expect(await page.value(`document.querySelector('#state').textContent`)).toContain('is not a time')
  })

  it('links to an entry by its cursor, and shows all its fields', async () => {
    const page = await visit(api.port, `#cursor=${encodeURIComponent(journal.cursor(100))}`)
    await page.until(`document.querySelector('.linked')`)
    expect(await page.value(`document.querySelector('.linked .message').textContent`)).toBe('line 99')
    await page.key('Enter')
    await page.until(`document.querySelector('.fields')`)
    expect(await page.value(`document.querySelector('.fields').textContent`)).toContain('_SYSTEMD_UNITweb.service')
    await page.key('j')
    expect(await page.value(`document.querySelector('.current .message').textContent`)).toBe('line 100')
    await page.key('l')
    expect(await page.value('decodeURIComponent(location.hash)')).toContain(journal.cursor(101))
    await page.screenshot('linked')
  })

  it('goes through a long history by scrolling, there and back, with the same few rows', async () => {
    const page = await visit(large.port)
    await page.until(`${rows} >= 200`)
    const seen = await page.value<{ most: number; oldest: string; first: number }>(`(async () => {
      const log = document.getElementById('log')
      let most = 0
      for (let i = 0; i < 400; i++) {
        log.scrollTop = 0
        await new Promise((resolve) => setTimeout(resolve, 30))
        most = Math.max(most, log.children.length)
        const count = log.children.length
        if (log.firstElementChild.entry.cursor === globalThis.before && count === globalThis.count) { if (++globalThis.same > 8) break } else globalThis.same = 0
        globalThis.before = log.firstElementChild.entry.cursor
        globalThis.count = count
      }
      return { most, oldest: log.firstElementChild.entry.cursor, first: log.firstElementChild.entry.realtime_timestamp }
    })()`)
    expect(seen.most).toBeLessThanOrEqual(1000)
    const [oldest] = (
      await get(large.port, '/v1/range/?limit=1', { headers: { accept: 'application/json' } })
    ).text.split('\n')
    expect(seen.oldest).toBe((JSON.parse(oldest as string) as { cursor: string }).cursor)
    await page.key('G')
    await page.until(`document.body.dataset.state === 'live'`)
    expect(page.complaints).toEqual([])
  })

  it('asks for a token where one is wanted, and keeps it out of the address', async () => {
    const token = 'a-token-for-the-page'
    const sha256 = createHash('sha256').update(token).digest('hex')
    const own = await startTestApi({ dir: journal.dir, api: { auth: { tokens: [{ name: 'me', sha256 }] } } })
    const page = await visit(own.port)
    await page.until(`!document.querySelector('#login').hidden`)
    await page.value(
      `(document.querySelector('#token').value = '${token}', document.querySelector('#login').requestSubmit())`,
    )
    await page.until(`document.body.dataset.state === 'live' && document.querySelector('#login').hidden`)
    expect(await page.value('location.href')).not.toContain(token)
    expect(own.log()).not.toContain(token)
    await page.close()
    pages.splice(pages.indexOf(page), 1)
    await own.close()
  })
})
