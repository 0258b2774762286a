/**
 * Where the UI lives, with a slash at the end. The server writes a relative <base> into the page, so that no prefix of
 * a proxy has to be configured; it is read once, before the first navigation.
 */
export const base = new URL('.', document.baseURI);
