// The name under which log records are sent.

export const SCOPE = 'logferry'
