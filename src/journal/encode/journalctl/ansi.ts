// Takes the simplest formatting out of a message, as journalctl does before it shows one: TAB becomes 8 spaces; colour sequences (ESC [ … m),
// operating system commands (ESC ] … BEL) and carriage returns at a line's end go. Anything else stays. Source: systemd
// terminal-util.c (strip_tab_ansi).

// A sequence that is cut off or holds anything else is left alone, and so is the character behind a lone ESC.
// A NUL within a colour sequence counts as part of it, there as here.
const NOISE = /\t|\r+(?=\n|$)|\x1b\[[0-9;\0]*m|\x1b\][\x20-\x7e]*\x07|\x1b[^[\]]/g

/** `text` is one-byte text: a character per byte. */
export function stripTabAnsi(text: string): string {
  return text.replace(NOISE, (noise) => {
    if (noise === '\t') return '        '
    return noise.length === 2 && noise.startsWith('\x1b') ? noise : ''
  })
}
