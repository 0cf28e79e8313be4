// The log page. Entries are rows of one scrolling element, never more than MOST of them: what scrolls out on one side is dropped and read again when it is
// wanted, so the page takes the same memory for a thousand entries and for a million. All text goes in as text, never as HTML.

const MOST = 1000
const PAGE = 200
const NEAR = 300
const RETRY_MS = [1000, 2000, 5000, 10_000]
const FILTERS = ['unit', 'task', 'priority', 'grep', 'since', 'until']

const $ = (id) => document.getElementById(id)
const log = $('log')

/** What is shown. `atEnd`: the last row is the newest entry there was; `atStart`: the first row is the oldest. */
const view = { filters: {}, paused: false, atEnd: false, atStart: false, current: undefined, linked: '' }
/** Ends whatever the last change of filters has under way. */
let turn = new AbortController()
let loading = false
let following = false

/** The token, for this tab alone. */
const token = {
  get: () => sessionStorage.getItem('token') ?? '',
  set: (text) => sessionStorage.setItem('token', text),
}

class Refused extends Error {}

async function ask(path, accept, signal) {
  const headers = { Accept: accept }
  if (token.get() !== '') headers.Authorization = `Bearer ${token.get()}`
  const answer = await fetch(path, { headers, signal, cache: 'no-store' })
  if (answer.ok) return answer
  const text = (await answer.text()).trim()
  if (answer.status === 401) {
    $('why').textContent = token.get() === '' ? '' : text
    $('login').hidden = false
    $('token').focus()
  }
  throw new Refused(`${answer.status}: ${text}`)
}

/** The address of entries under the filters; `place` is what else the query says. */
function address(place) {
  const { unit, task, priority, grep, since, until } = view.filters
  const query = new URLSearchParams()
  if (task) query.append('filter', `CONTAINER_ID:${task}`)
  for (const [name, value] of Object.entries({ priority, grep, since, until, ...place })) {
    if (value !== undefined && value !== '') query.set(name, value)
  }
  return `v2/component${unit ? `/${encodeURIComponent(unit)}` : ''}?${query}`
}

async function entries(place, signal) {
  const answer = await ask(address(place), 'application/x-ndjson', signal)
  if (answer.status === 204) return []
  return (await answer.text())
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line))
}

function rowOf(entry) {
  const { fields } = entry
  const row = document.createElement('div')
  row.className = `entry p${/^[0-7]$/.test(fields.PRIORITY ?? '') ? fields.PRIORITY : 6}`
  row.entry = entry
  if (entry.cursor === view.linked) row.classList.add('linked')
  const at = new Date(entry.realtime_timestamp / 1000)
  const time = cell('time', at.toLocaleString(undefined, { hour12: false }))
  time.title = at.toISOString()
  const who = fields.SYSLOG_IDENTIFIER ?? fields._SYSTEMD_UNIT ?? fields._COMM ?? ''
  row.append(time, cell('who', fields._PID ? `${who}[${fields._PID}]` : who), cell('message', fields.MESSAGE ?? ''))
  return row
}

function cell(name, text) {
  const element = document.createElement('span')
  element.className = name
  element.textContent = text
  return element
}

/** Puts rows at the end, and drops as many at the start as are too many. */
function append(list) {
  const stick = isAtBottom()
  log.append(...list.map(rowOf))
  const surplus = log.children.length - MOST
  if (surplus > 0) {
    const before = log.scrollHeight
    for (let i = 0; i < surplus; i++) log.firstElementChild.remove()
    view.atStart = false
    if (!stick) log.scrollTop -= before - log.scrollHeight
  }
  if (stick) log.scrollTop = log.scrollHeight
}

/** Puts rows at the start, newest first in `list`, and drops as many at the end. What is being read stays where it is. */
function prepend(list) {
  const before = log.scrollHeight
  log.prepend(...list.map(rowOf).reverse())
  log.scrollTop += log.scrollHeight - before
  while (log.children.length > MOST) {
    log.lastElementChild.remove()
    view.atEnd = false
  }
}

const isAtBottom = () => log.scrollHeight - log.scrollTop - log.clientHeight < 30
const cursorOf = (row) => row?.entry.cursor

function say(text) {
  $('state').textContent = text
  document.body.dataset.state = text.split(' ')[0]
}

function sayState() {
  if (view.paused) say('paused')
  else if (following) say('live')
  else say(view.atEnd ? 'end' : 'history')
}

/** Shows the filters' entries anew: around the linked entry, or the newest. */
async function show() {
  turn.abort()
  turn = new AbortController()
  const { signal } = turn
  following = false
  loading = true
  log.replaceChildren()
  view.current = undefined
  remember()
  say('loading')
  try {
    const place = view.linked
      ? { cursor: view.linked, skip: -PAGE / 2, limit: PAGE }
      : view.filters.since
        ? { limit: PAGE }
        : { cursor: 'END', skip: -PAGE }
    const list = await entries(place, signal)
    view.atStart = view.filters.since !== ''
    view.atEnd = view.linked || view.filters.since ? list.length < PAGE : true
    append(list)
    const linked = log.querySelector('.linked')
    if (linked) {
      linked.scrollIntoView({ block: 'center' })
      choose(linked)
    } else if (!view.filters.since) log.scrollTop = log.scrollHeight
    $('login').hidden = true
  } catch (error) {
    if (signal.aborted) return
    say(`error ${error.message}`)
    return
  } finally {
    if (!signal.aborted) loading = false
  }
  sayState()
  more()
  follow()
}

/** Reads on in the direction that the reader has scrolled to. */
async function more() {
  if (loading || log.children.length === 0) return
  const { signal } = turn
  const isUp = log.scrollTop < NEAR && !view.atStart
  const isDown = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR && !view.atEnd
  if (!isUp && !isDown) return
  loading = true
  try {
    if (isUp) {
      const list = await entries(
        { cursor: cursorOf(log.firstElementChild), reverse: true, limit: PAGE, until: '' },
        signal,
      )
      view.atStart = list.length < PAGE
      prepend(list)
    } else {
      const list = await entries({ cursor: cursorOf(log.lastElementChild), limit: PAGE, since: '' }, signal)
      view.atEnd = list.length < PAGE
      append(list)
    }
  } catch (error) {
    if (!signal.aborted) say(`error ${error.message}`)
    return
  } finally {
    if (!signal.aborted) loading = false
  }
  sayState()
  follow()
}

/** Follows the journal while its end is in view and nobody has paused. Comes back by itself after an outage. */
async function follow() {
  if (following || !view.atEnd || view.paused || view.filters.until || !isAtBottom()) return
  const { signal } = turn
  following = true
  for (let tries = 0; following && !signal.aborted; tries++) {
    try {
      sayState()
      const place = {
        cursor: cursorOf(log.lastElementChild) ?? 'BEG',
        since: log.children.length > 0 ? '' : view.filters.since,
      }
      const answer = await ask(address(place), 'text/event-stream', signal)
      await readEvents(answer.body.pipeThrough(new TextDecoderStream()).getReader(), () => {
        tries = 0
      })
    } catch (error) {
      if (error instanceof Refused) {
        following = false
        say(`error ${error.message}`)
        return
      }
    }
    if (!following || signal.aborted) return
    say('offline, trying again')
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS[Math.min(tries, RETRY_MS.length - 1)]))
  }
}

/** Appends events until the stream ends or following does. */
async function readEvents(reader, onEvent) {
  let rest = ''
  let frame
  const waiting = []
  try {
    for (;;) {
      const { value, done } = await reader.read()
      if (done || !following) return
      const blocks = (rest + value).split('\n\n')
      rest = blocks.pop()
      for (const block of blocks) {
        const data = /^data: (.*)$/m.exec(block)?.[1]
        if (data !== undefined) waiting.push(JSON.parse(data))
      }
      onEvent()
      // A burst is put in once per frame, and only the part of it that stays.
      frame ??= requestAnimationFrame(() => {
        frame = undefined
        append(waiting.splice(0).slice(-MOST))
      })
    }
  } finally {
    if (frame !== undefined) cancelAnimationFrame(frame)
    append(waiting.slice(-MOST))
    reader.cancel().catch(() => {})
  }
}

/** Stops following; what comes is read when the end is scrolled to. */
function hold() {
  if (!following) return
  following = false
  view.atEnd = false
  turn.abort()
  turn = new AbortController()
  loading = false
  sayState()
}

function setPaused(paused) {
  view.paused = paused
  $('pause').setAttribute('aria-pressed', String(paused))
  $('pause').textContent = paused ? 'Go on' : 'Pause'
  if (paused) hold()
  else {
    view.atEnd = false
    log.scrollTop = log.scrollHeight
    more()
  }
  sayState()
}

function choose(row) {
  view.current?.classList.remove('current')
  view.current = row ?? undefined
  row?.classList.add('current')
}

function step(by) {
  const row = view.current?.isConnected
    ? by > 0
      ? view.current.nextElementSibling
      : view.current.previousElementSibling
    : by > 0
      ? log.firstElementChild
      : log.lastElementChild
  if (!row) return
  choose(row)
  row.scrollIntoView({ block: 'nearest' })
}

/** Shows or hides all fields of an entry. */
function unfold(row) {
  const open = row.querySelector('.fields')
  if (open) return open.remove()
  const table = document.createElement('table')
  table.className = 'fields'
  for (const [name, value] of Object.entries({ ...row.entry.fields, __CURSOR: row.entry.cursor })) {
    const line = table.insertRow()
    line.insertCell().textContent = name
    line.insertCell().textContent = Array.isArray(value) ? value.join('\n') : value
  }
  row.append(table)
}

function link(row) {
  view.linked = cursorOf(row) ?? ''
  log.querySelector('.linked')?.classList.remove('linked')
  row.classList.add('linked')
  remember()
  navigator.clipboard?.writeText(location.href).catch(() => {})
}

/** Filters and the linked entry stand in the address, so that it can be passed on. */
function remember() {
  const hash = new URLSearchParams()
  for (const [name, value] of Object.entries({ ...view.filters, cursor: view.linked })) if (value) hash.set(name, value)
  history.replaceState(null, '', `#${hash}`)
}

function readHash() {
  const hash = new URLSearchParams(location.hash.slice(1))
  view.filters = Object.fromEntries(FILTERS.map((name) => [name, hash.get(name) ?? '']))
  view.linked = hash.get('cursor') ?? ''
  for (const name of FILTERS) {
    const field = $(name)
    const value = view.filters[name]
    if (field.tagName === 'SELECT' && value && ![...field.options].some((option) => option.value === value)) {
      field.add(new Option(value, value))
    }
    field.value = value
  }
}

function readForm() {
  view.filters = Object.fromEntries(FILTERS.map((name) => [name, $(name).value.trim()]))
  view.linked = ''
}

async function listComponents() {
  try {
    const { units, tasks } = await (await ask('v2/components?window=1d', 'application/json')).json()
    fill(
      $('unit'),
      units.map(({ name, entries: count }) => [name, `${name} (${count})`]),
    )
    fill(
      $('task'),
      tasks.map((task) => [task.container_id, `${task.executor_id || task.container_id} (${task.entries})`]),
    )
  } catch {
    // Without the lists names can still be given in the address; the entries say what is wrong.
  }
}

function fill(select, options) {
  const { value } = select
  for (const [name, text] of options) {
    const known = [...select.options].find((option) => option.value === name)
    if (known) known.text = text
    else select.add(new Option(text, name))
  }
  select.value = value
}

async function download() {
  const answer = await ask(address({ limit: 100_000 }), 'text/plain', undefined)
  const url = URL.createObjectURL(await answer.blob())
  const anchor = document.createElement('a')
  anchor.href = url
  anchor.download = 'log.txt'
  anchor.click()
  URL.revokeObjectURL(url)
}

$('filters').addEventListener('submit', (event) => {
  event.preventDefault()
  readForm()
  show()
})
for (const name of ['unit', 'task', 'priority']) $(name).addEventListener('change', () => $('filters').requestSubmit())
$('pause').addEventListener('click', () => setPaused(!view.paused))
$('download').addEventListener('click', () => download().catch((error) => say(`error ${error.message}`)))
$('login').addEventListener('submit', (event) => {
  event.preventDefault()
  token.set($('token').value.trim())
  $('token').value = ''
  listComponents()
  show()
})
log.addEventListener('scroll', () => {
  if (following && !isAtBottom()) hold()
  more()
})
log.addEventListener('click', (event) => {
  const row = event.target.closest('.entry')
  if (!row || String(getSelection()) !== '') return
  choose(row)
  if (!event.target.closest('.fields')) unfold(row)
})
addEventListener('hashchange', () => {
  readHash()
  show()
})
addEventListener('keydown', (event) => {
  const isTyping = event.target.closest('input, select, button, dialog')
  if (event.key === 'Escape') return log.focus()
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return
  const act = {
    '/': () => $('grep').focus(),
    ' ': () => setPaused(!view.paused),
    j: () => step(1),
    k: () => step(-1),
    Enter: () => view.current && unfold(view.current),
    l: () => view.current && link(view.current),
    g: () => {
      readForm()
      view.filters.since = '@0'
      show()
    },
    G: () => {
      readForm()
      view.filters.since = ''
      show()
    },
    '?': () => $('help').showModal(),
  }[event.key]
  if (!act) return
  event.preventDefault()
  act()
})

// Focusable, so that keys scroll it.
log.tabIndex = 0
readHash()
listComponents()
show()
log.focus()
