// Light, dark, or as the system has it. Runs before the first paint, so that no page flashes.
(() => {
    const KEY = "warmkey-theme";
    const root = document.documentElement;
    const system = matchMedia("(prefers-color-scheme: dark)");
    const read = () => {
        try {
            return localStorage.getItem(KEY);
        } catch {
            // Storage may be forbidden; then the choice lasts as long as the page.
            return null;
        }
    };
    const wanted = read();
    if (wanted === "light" || wanted === "dark") root.dataset.theme = wanted;

    const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
    const changed = () => document.dispatchEvent(new Event("themechange"));
    system.addEventListener("change", changed);

    window.theme = {
        isDark,
        toggle() {
            root.dataset.theme = isDark() ? "light" : "dark";
            try {
                localStorage.setItem(KEY, root.dataset.theme);
            } catch {
                // As above.
            }
            changed();
        },
    };
})();
