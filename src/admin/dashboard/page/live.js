// One stream of server-sent events for the view that is open.

/** A stream that says nothing for so long is dead: the gateway sends something every 15 s. */
const SILENCE_MS = 40_000;
/** A page that nobody looks at lets go of its stream after this. */
const HIDDEN_MS = 60_000;
/** Pauses between attempts, the last one repeated. */
const BACKOFF_MS = [500, 1_000, 2_000, 5_000, 10_000];

const NAMES = ["now", "accounts", "requests", "sessions"];

/**
 * @typedef {"live" | "reconnecting" | "paused" | "signed out"} State
 */
export class Live {
    /**
     * @param {(name: string, data: any) => void} hear
     * @param {(state: State) => void} tell
     * @param {() => void} ended the session is over, or the gateway stops
     */
    constructor(hear, tell, ended) {
        this.hear = hear;
        this.tell = tell;
        this.ended = ended;
        /** @type {string | null} */
        this.url = null;
        /** @type {EventSource | null} */
        this.source = null;
        this.failures = 0;
        this.timer = 0;
        this.silence = 0;
        this.hidden = 0;
        document.addEventListener("visibilitychange", () => this.seen());
    }

    /** Follows this address instead of the last; the same one goes on. */
    follow(/** @type {string} */ url) {
        if (url === this.url && this.source) return;
        this.url = url;
        this.failures = 0;
        this.connect();
    }

    /** Lets go for good, until something is followed again. */
    close() {
        this.url = null;
        this.drop();
    }

    drop() {
        this.source?.close();
        this.source = null;
        clearTimeout(this.timer);
        clearTimeout(this.silence);
    }

    connect() {
        this.drop();
        if (!this.url || this.hidden < 0) return;
        if (this.failures > 0) this.tell("reconnecting");
        const source = new EventSource(this.url);
        this.source = source;
        this.wait();
        source.onopen = () => this.arrived();
        source.onerror = () => {
            if (this.source !== source) return;
            // Refused, perhaps, because the session is over: a stream does not say with what status.
            if (this.failures > 0) this.ended();
            this.retry();
        };
        for (const name of NAMES) {
            source.addEventListener(name, (event) => {
                if (this.source !== source) return;
                this.arrived();
                this.hear(name, JSON.parse(/** @type {MessageEvent} */ (event).data));
            });
        }
        source.addEventListener("bye", () => {
            if (this.source !== source) return;
            this.retry();
            this.ended();
        });
    }

    arrived() {
        this.failures = 0;
        this.tell("live");
        this.wait();
    }

    wait() {
        clearTimeout(this.silence);
        this.silence = setTimeout(() => this.retry(), SILENCE_MS);
    }

    retry() {
        this.drop();
        const pause = BACKOFF_MS[Math.min(this.failures, BACKOFF_MS.length - 1)];
        this.failures += 1;
        this.tell("reconnecting");
        this.timer = setTimeout(() => this.connect(), pause);
    }

    seen() {
        clearTimeout(this.hidden);
        if (document.hidden) {
            this.hidden = setTimeout(() => {
                this.hidden = -1;
                this.drop();
                this.tell("paused");
            }, HIDDEN_MS);
        } else {
            const was = this.hidden;
            this.hidden = 0;
            if (was < 0) this.connect();
        }
    }
}
