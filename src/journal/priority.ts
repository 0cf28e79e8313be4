// Priorities of entries, as syslog(3) names them.

/** The names, by number: 0 is the most urgent. */
export const PRIORITIES = ['emerg', 'alert', 'crit', 'err', 'warning', 'notice', 'info', 'debug']
