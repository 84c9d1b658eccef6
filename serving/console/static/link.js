// What the page shows, in the part of its address that browsers never send.

export function written(state) {
  const bytes = new TextEncoder().encode(JSON.stringify(state));
  return `#s=${btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "")}`;
}

/** The state in an address, or null where there is none to read. */
export function read(hash) {
  const text = new URLSearchParams(hash.slice(1)).get("s");
  if (!text) return null;
  try {
    const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
    const state = JSON.parse(new TextDecoder().decode(bytes));
    return state !== null && typeof state === "object" ? state : null;
  } catch {
    return null;
  }
}
