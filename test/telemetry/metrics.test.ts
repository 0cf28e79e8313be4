import { describe, expect, it } from 'vitest'
import { createExposition } from '../../src/telemetry/exposition.ts'
import { METRICS, Metrics } from '../../src/telemetry/metrics.ts'

describe('the table of metrics', () => {
  it.each(Object.entries(METRICS))(
    '%s has a name, a help text and labels as they should be',
    (name, { kind, help, labels }) => {
      expect(name).toMatch(/^logferry_[a-z]+(?:_[a-z]+)*$/)
      expect(name.endsWith('_total')).toBe(kind === 'counter')
      expect(help).toMatch(/^[A-Z0-9].*\.$/)
      expect(['sink', 'code', 'failure', 'outcome', 'version', 'route', 'reason']).toEqual(
        expect.arrayContaining([...labels]),
      )
    },
  )
})

describe('Metrics', () => {
  it('keeps one series for equal labels, whoever asks', () => {
    const metrics = new Metrics()
    const counter = metrics.counter('logferry_delivered_entries_total', { sink: 'a' })
    counter.add(5)
    counter.add()
    metrics.add('logferry_delivered_entries_total', { sink: 'a' }, 4)
    metrics.add('logferry_delivered_entries_total', { sink: 'b' })
    metrics.set('logferry_lag_entries', { sink: 'a' }, 7)
    metrics.gauge('logferry_lag_entries', { sink: 'a' }).add(-2)
    expect(counter.value).toBe(10)
    expect(metrics.read()).toEqual([
      { name: 'logferry_delivered_entries_total', labels: { sink: 'a' }, value: 10 },
      { name: 'logferry_delivered_entries_total', labels: { sink: 'b' }, value: 1 },
      { name: 'logferry_lag_entries', labels: { sink: 'a' }, value: 5 },
    ])
  })

  it('counts into buckets', () => {
    const metrics = new Metrics()
    const seconds = metrics.histogram('logferry_batch_seconds', { sink: 'a' })
    for (const value of [0, 0.005, 0.006, 61, 1000]) seconds.observe(value)
    expect(seconds.count).toBe(5)
    expect(seconds.sum).toBeCloseTo(1061.011)
    expect(metrics.read()[0]?.counts).toEqual([2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2])
  })

  it('asks for what is only known by looking when it is read, until told to stop', () => {
    const metrics = new Metrics()
    let looks = 0
    const stop = metrics.beforeRead(() => metrics.set('logferry_retained_bytes', {}, ++looks))
    metrics.read()
    expect(metrics.read()).toEqual([{ name: 'logferry_retained_bytes', labels: {}, value: 2 }])
    stop()
    metrics.read()
    expect(looks).toBe(2)
  })

  it('forgets a sink that was removed', () => {
    const metrics = new Metrics()
    metrics.add('logferry_sent_entries_total', { sink: 'a' })
    metrics.add('logferry_rejected_entries_total', { sink: 'a', code: 'mapping' })
    metrics.add('logferry_sent_entries_total', { sink: 'b' })
    metrics.remove('sink', 'a')
    expect(metrics.read().map(({ labels }) => labels)).toEqual([{ sink: 'b' }])
  })
})

describe('createExposition', () => {
  it('gives the text form of Prometheus, all metrics described, values as they are when it is asked', async () => {
    const metrics = new Metrics()
    metrics.add('logferry_rejected_entries_total', { sink: 'a', code: 'map"ping' }, 3)
    metrics.observe('logferry_batch_seconds', { sink: 'a' }, 0.3)
    const exposition = createExposition(metrics)
    metrics.add('logferry_read_entries_total', {}, 400_000)
    const text = await exposition.text()
    const lines = text.split('\n').filter((line) => line.startsWith('logferry_'))
    expect(lines.join('\n')).toMatchInlineSnapshot(`
      "logferry_read_entries_total 400000
      logferry_rejected_entries_total{sink="a",code="map\\"ping"} 3
      logferry_batch_seconds_bucket{sink="a",le="0.005"} 0
      logferry_batch_seconds_bucket{sink="a",le="0.02"} 0
      logferry_batch_seconds_bucket{sink="a",le="0.05"} 0
      logferry_batch_seconds_bucket{sink="a",le="0.1"} 0
      logferry_batch_seconds_bucket{sink="a",le="0.2"} 0
      logferry_batch_seconds_bucket{sink="a",le="0.5"} 1
      logferry_batch_seconds_bucket{sink="a",le="1"} 1
      logferry_batch_seconds_bucket{sink="a",le="2"} 1
      logferry_batch_seconds_bucket{sink="a",le="5"} 1
      logferry_batch_seconds_bucket{sink="a",le="10"} 1
      logferry_batch_seconds_bucket{sink="a",le="30"} 1
      logferry_batch_seconds_bucket{sink="a",le="60"} 1
      logferry_batch_seconds_bucket{sink="a",le="+Inf"} 1
      logferry_batch_seconds_sum{sink="a"} 0.3
      logferry_batch_seconds_count{sink="a"} 1"
    `)
    for (const [name, { help, kind }] of Object.entries(METRICS)) {
      expect(text).toContain(`# HELP ${name} ${help}\n# TYPE ${name} ${kind}\n`)
    }
    expect(text).toContain('process_resident_memory_bytes')
    expect(exposition.contentType).toMatch(/^text\/plain/)
    metrics.add('logferry_read_entries_total', {}, 1)
    expect(await exposition.text()).toContain('logferry_read_entries_total 400001')
  })
})
