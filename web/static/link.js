// A person who opens a sign-in link need not click again. A mail program that looks at links runs
// no script, so it uses none up.

document.querySelector("form[data-at-once]").requestSubmit();
