// Which task a name means, and where its sandbox is asked for. Source: dcos-log, mesos/ and api/v2.

import { Refusal } from '../http/refusal.ts'
import type { ContainerId, MesosState, MesosTask } from './client.ts'

/** A task with everything that its address is made of. */
export interface FoundTask {
  readonly id: string
  readonly agentId: string
  readonly frameworkId: string
  readonly executorId: string
  /** The outermost container. */
  readonly containerId: string
  /** A pod's task has a folder of its own within its executor's sandbox. */
  readonly isPod: boolean
}

const WHAT = 'unable to get canonical task ID'
/** How many ids an ambiguity names. */
const NAMED_MAX = 50

/**
 * The task of this name or with this text in its id: among the running ones, else among the completed ones. An exact id wins. `visible` says which
 * tasks there are for the caller. Throws Refusal 404 or 409.
 */
export function findTask(state: MesosState, wanted: string, visible: (task: FoundTask) => boolean): FoundTask {
  const { frameworks = [], completed_frameworks: gone = [] } = state
  const running = frameworks.flatMap(({ tasks = [] }) => tasks)
  const completed = [...frameworks, ...gone].flatMap(({ completed_tasks: tasks = [] }) => tasks)
  for (const tasks of [running, completed]) {
    const fitting = tasks.filter(({ id = '', name }) => name === wanted || id.includes(wanted))
    const exact = fitting.filter(({ id }) => id === wanted)
    const found = (exact.length > 0 ? exact : fitting)
      .map(addressOf)
      .filter((task) => task === undefined || visible(task))
    if (found.length === 0) continue
    if (found.length > 1) {
      const ids = fitting.map(({ id = '' }) => id).filter((id) => found.some((task) => task?.id === id))
      const list = ids.slice(0, NAMED_MAX).join(' ')
      throw new Refusal(409, `${WHAT}: found more then 1 task with name ${wanted}: [${list}]`)
    }
    if (found[0] === undefined) throw new Refusal(500, `${WHAT}: invalid task. Container ID not found`)
    return found[0]
  }
  throw new Refusal(404, `${WHAT}: task not found`)
}

function addressOf(task: MesosTask): FoundTask | undefined {
  const { id = '', slave_id: agentId = '', framework_id: frameworkId = '', executor_id: executorId = '' } = task
  const statuses = [...(task.statuses ?? [])].sort((a, b) => (a.timestamp ?? 0) - (b.timestamp ?? 0))
  const containerId = outermost(statuses.at(-1)?.container_status?.container_id)
  if (containerId === undefined) return undefined
  const isPod = executorId !== ''
  return { id, agentId, frameworkId, executorId: isPod ? executorId : id, containerId, isPod }
}

function outermost(id: ContainerId | undefined): string | undefined {
  let found = id
  // No container is nested deeper; a cycle cannot come out of JSON.
  while (found?.parent !== undefined) found = found.parent
  return found?.value
}

/** The route of the agent's own service for a task's files; `tail` is what stands behind the container. */
export function agentRoute(task: FoundTask, tail: string): string {
  const { agentId, frameworkId, executorId, containerId, isPod, id } = task
  const base = `/system/v1/agent/${part(agentId)}/logs/v2/task/frameworks/${part(frameworkId)}/executors/${part(executorId)}/runs/${part(containerId)}`
  return `${base}${isPod ? `/tasks/${part(id)}` : ''}${tail}`
}

/** One segment of a path. */
export function part(text: string): string {
  return encodeURIComponent(text)
}
