import { expect, it } from 'vitest'
import { systemClock } from '../../src/telemetry/clock.ts'

it('sleeps, and wakes at once with the reason when aborted', async () => {
  const before = systemClock.monotonic()
  await systemClock.sleep(20)
  expect(systemClock.monotonic() - before).toBeGreaterThan(15)

  const reason = new Error('shutting down')
  const controller = new AbortController()
  const slept = systemClock.sleep(60_000, controller.signal)
  controller.abort(reason)
  await expect(slept).rejects.toBe(reason)
  await expect(systemClock.sleep(60_000, controller.signal)).rejects.toBe(reason)
})

it('does not wake early from a sleep longer than a timer can be', async () => {
  const controller = new AbortController()
  let isAwake = false
  const slept = systemClock.sleep(1e12, controller.signal).then(
    () => {
      isAwake = true
    },
    () => {},
  )
  await systemClock.sleep(10)
  expect(isAwake).toBe(false)
  controller.abort()
  await slept
})
