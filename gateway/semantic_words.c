#include "gateway/semantic_words.h"

#include "store/crc32c.h"

#include <pthread.h>

#define SLOTS 2048 /* a power of two, some three times the number of words */

static const struct row {
	enum semantic_kind kind;
	int64_t value;
	const char *text;
	const char *words; /* parted by blanks */
} rows[] = {
	{ SEMANTIC_NOT, 0, NULL,
		"not no never none neither nor nobody nothing nowhere cannot without dont doesnt "
		"didnt isnt arent wasnt werent wont cant couldnt shouldnt wouldnt hasnt havent "
		"hadnt except excluding non" },
	{ SEMANTIC_NOT, 0, NULL,
		"nicht nichts nie niemals niemand kein keine keinen keinem keiner keines ohne "
		"weder außer" },
	{ SEMANTIC_NOT, 0, NULL, "pas jamais sans aucun aucune rien ni sauf" },
	{ SEMANTIC_NOT, 0, NULL,
		"nunca jamás sin nada nadie ningún ninguno ninguna tampoco excepto" },
	{ SEMANTIC_NOT, 0, NULL,
		"mai senza nessuno niente não nenhum sem ninguém niet geen nooit zonder inte "
		"aldrig utan ikke aldri uten uden bez değil" },
	{ SEMANTIC_NUMBER, 0, NULL, "zero" },
	{ SEMANTIC_NUMBER, 1, NULL, "one once first" },
	{ SEMANTIC_NUMBER, 2, NULL, "two twice second" },
	{ SEMANTIC_NUMBER, 3, NULL, "three third" },
	{ SEMANTIC_NUMBER, 4, NULL, "four fourth" },
	{ SEMANTIC_NUMBER, 5, NULL, "five fifth" },
	{ SEMANTIC_NUMBER, 6, NULL, "six sixth" },
	{ SEMANTIC_NUMBER, 7, NULL, "seven seventh" },
	{ SEMANTIC_NUMBER, 8, NULL, "eight eighth" },
	{ SEMANTIC_NUMBER, 9, NULL, "nine ninth" },
	{ SEMANTIC_NUMBER, 10, NULL, "ten tenth" },
	{ SEMANTIC_NUMBER, 11, NULL, "eleven" },
	{ SEMANTIC_NUMBER, 12, NULL, "twelve dozen" },
	{ SEMANTIC_NUMBER, 13, NULL, "thirteen" },
	{ SEMANTIC_NUMBER, 14, NULL, "fourteen" },
	{ SEMANTIC_NUMBER, 15, NULL, "fifteen" },
	{ SEMANTIC_NUMBER, 16, NULL, "sixteen" },
	{ SEMANTIC_NUMBER, 17, NULL, "seventeen" },
	{ SEMANTIC_NUMBER, 18, NULL, "eighteen" },
	{ SEMANTIC_NUMBER, 19, NULL, "nineteen" },
	{ SEMANTIC_NUMBER, 20, NULL, "twenty" },
	{ SEMANTIC_NUMBER, 30, NULL, "thirty" },
	{ SEMANTIC_NUMBER, 40, NULL, "forty" },
	{ SEMANTIC_NUMBER, 50, NULL, "fifty" },
	{ SEMANTIC_NUMBER, 60, NULL, "sixty" },
	{ SEMANTIC_NUMBER, 70, NULL, "seventy" },
	{ SEMANTIC_NUMBER, 80, NULL, "eighty" },
	{ SEMANTIC_NUMBER, 90, NULL, "ninety" },
	{ SEMANTIC_TIMES, 100, NULL, "hundred" },
	{ SEMANTIC_TIMES, 1000, NULL, "thousand" },
	{ SEMANTIC_TIMES, 1000000, NULL, "million" },
	{ SEMANTIC_TIMES, 1000000000, NULL, "billion" },
	{ SEMANTIC_AND, 0, NULL, "and" },
	{ SEMANTIC_OPERATOR, 0, "+", "plus" },
	{ SEMANTIC_OPERATOR, 0, "-", "minus" },
	{ SEMANTIC_OPERATOR, 0, "*", "times multiplied" },
	{ SEMANTIC_OPERATOR, 0, "/", "divided" },
	{ SEMANTIC_OPERATOR, 0, "%", "percent" },
	{ SEMANTIC_ITSELF, 0, NULL,
		"null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf zwanzig "
		"dreißig vierzig fünfzig sechzig siebzig achtzig neunzig hundert tausend erste "
		"zweite dritte halb doppelt" },
	{ SEMANTIC_ITSELF, 0, NULL,
		"zéro deux trois quatre cinq sept huit neuf dix onze douze vingt trente quarante "
		"cinquante soixante cent mille premier première deuxième troisième moitié" },
	{ SEMANTIC_ITSELF, 0, NULL,
		"cero dos tres cuatro cinco seis siete ocho nueve diez doce veinte treinta "
		"cuarenta cincuenta sesenta setenta ochenta noventa cien ciento mil primero "
		"primera segundo segunda tercero mitad doble" },
	{ SEMANTIC_ITSELF, 0, NULL, "half double triple quarter" },
	{ SEMANTIC_ITSELF, 0, NULL,
		"monday tuesday wednesday thursday friday saturday sunday january february march "
		"april june july august september october november december" },
	{ SEMANTIC_ITSELF, 0, NULL,
		"english german french spanish italian portuguese dutch polish russian ukrainian "
		"chinese japanese korean arabic turkish hindi latin greek swedish danish norwegian "
		"finnish czech hungarian hebrew" },
	{ SEMANTIC_SAME, 0, "more", "more most mehr más" },
	{ SEMANTIC_SAME, 0, "less", "less least fewer fewest weniger moins menos" },
	{ SEMANTIC_SAME, 0, "before", "before prior earlier vor vorher avant antes" },
	{ SEMANTIC_SAME, 0, "after", "after later nach nachher après después" },
	{ SEMANTIC_SAME, 0, "with", "with mit avec con" },
	{ SEMANTIC_SAME, 0, "increase", "increase increases increased increasing raise" },
	{ SEMANTIC_SAME, 0, "decrease", "decrease decreases decreased decreasing reduce reduces" },
	{ SEMANTIC_SAME, 0, "min", "min minimum minimal minimize minimise" },
	{ SEMANTIC_SAME, 0, "max", "max maximum maximal maximize maximise" },
	{ SEMANTIC_SAME, 0, "last", "last final" },
	{ SEMANTIC_SAME, 0, "highest", "highest higher high" },
	{ SEMANTIC_SAME, 0, "lowest", "lowest lower low" },
	{ SEMANTIC_SAME, 0, "largest", "largest larger biggest bigger greatest greater" },
	{ SEMANTIC_SAME, 0, "smallest", "smallest smaller" },
	{ SEMANTIC_SAME, 0, "best", "best better" },
	{ SEMANTIC_SAME, 0, "worst", "worst worse" },
	{ SEMANTIC_SAME, 0, "above", "above" },
	{ SEMANTIC_SAME, 0, "below", "below" },
	{ SEMANTIC_SAME, 0, "up", "up" },
	{ SEMANTIC_SAME, 0, "down", "down" },
	{ SEMANTIC_SAME, 0, "left", "left" },
	{ SEMANTIC_SAME, 0, "right", "right" },
	{ SEMANTIC_SAME, 0, "open", "open opens opening" },
	{ SEMANTIC_SAME, 0, "close", "close closes closing" },
	{ SEMANTIC_SAME, 0, "start", "start starts begin begins" },
	{ SEMANTIC_SAME, 0, "stop", "stop stops end ends" },
	{ SEMANTIC_SAME, 0, "enable", "enable enables enabled" },
	{ SEMANTIC_SAME, 0, "disable", "disable disables disabled" },
	{ SEMANTIC_SAME, 0, "add", "add adds adding" },
	{ SEMANTIC_SAME, 0, "remove", "remove removes removing delete deletes deleting" },
	{ SEMANTIC_SAME, 0, "install", "install installs installing" },
	{ SEMANTIC_SAME, 0, "uninstall", "uninstall uninstalls uninstalling" },
	{ SEMANTIC_SAME, 0, "include", "include includes including" },
	{ SEMANTIC_SAME, 0, "hot", "hot hotter hottest" },
	{ SEMANTIC_SAME, 0, "cold", "cold colder coldest" },
	{ SEMANTIC_SAME, 0, "buy", "buy buys buying" },
	{ SEMANTIC_SAME, 0, "sell", "sell sells selling" },
	{ SEMANTIC_SAME, 0, "pro", "pro pros advantage advantages benefit benefits" },
	{ SEMANTIC_SAME, 0, "con", "cons disadvantage disadvantages drawback drawbacks" },
	{ SEMANTIC_SAME, 0, "true", "true" },
	{ SEMANTIC_SAME, 0, "false", "false" },
	{ SEMANTIC_SAME, 0, "allow", "allow allows allowed permit" },
	{ SEMANTIC_SAME, 0, "deny", "deny denies denied forbid" },
	{ SEMANTIC_SAME, 0, "encrypt", "encrypt encryption encrypting" },
	{ SEMANTIC_SAME, 0, "decrypt", "decrypt decryption decrypting" },
	{ SEMANTIC_SAME, 0, "encode", "encode encoding" },
	{ SEMANTIC_SAME, 0, "decode", "decode decoding" },
	{ SEMANTIC_SAME, 0, "import", "import imports importing" },
	{ SEMANTIC_SAME, 0, "export", "export exports exporting" },
	{ SEMANTIC_SAME, 0, "longest", "longest longer" },
	{ SEMANTIC_SAME, 0, "shortest", "shortest shorter" },
	{ SEMANTIC_SAME, 0, "fastest", "fastest faster" },
	{ SEMANTIC_SAME, 0, "slowest", "slowest slower" },
	{ SEMANTIC_SAME, 0, "oldest", "oldest older" },
	{ SEMANTIC_SAME, 0, "youngest", "youngest younger" },
	{ SEMANTIC_SAME, 0, "cheapest", "cheapest cheaper" },
	{ SEMANTIC_SAME, 0, "win", "win wins winner" },
	{ SEMANTIC_SAME, 0, "lose", "lose loses loser" },
	{ SEMANTIC_SAME, 0, "upload", "upload uploads uploading" },
	{ SEMANTIC_SAME, 0, "download", "download downloads downloading" },
	{ SEMANTIC_SAME, 0, "ascending", "ascending asc" },
	{ SEMANTIC_SAME, 0, "descending", "descending desc" },
	{ SEMANTIC_SAME, 0, "safe", "safe safely" },
	{ SEMANTIC_SAME, 0, "unsafe", "unsafe dangerous" },
	{ SEMANTIC_SAME, 0, "legal", "legal" },
	{ SEMANTIC_SAME, 0, "illegal", "illegal" },
	{ SEMANTIC_SAME, 0, "possible", "possible" },
	{ SEMANTIC_SAME, 0, "impossible", "impossible" },
	{ SEMANTIC_SAME, 0, "positive", "positive" },
	{ SEMANTIC_SAME, 0, "negative", "negative" },
	{ SEMANTIC_SAME, 0, "public", "public" },
	{ SEMANTIC_SAME, 0, "private", "private" },
	{ SEMANTIC_SAME, 0, "push", "push" },
	{ SEMANTIC_SAME, 0, "pull", "pull" },
	{ SEMANTIC_SAME, 0, "lock", "lock" },
	{ SEMANTIC_SAME, 0, "unlock", "unlock" },
	{ SEMANTIC_SAME, 0, "horizontal", "horizontal horizontally" },
	{ SEMANTIC_SAME, 0, "vertical", "vertical vertically" },
	{ SEMANTIC_SAME, 0, "north", "north" },
	{ SEMANTIC_SAME, 0, "south", "south" },
	{ SEMANTIC_SAME, 0, "east", "east" },
	{ SEMANTIC_SAME, 0, "west", "west" },
	{ SEMANTIC_SAME, 0, "male", "male" },
	{ SEMANTIC_SAME, 0, "female", "female" },
};

static struct slot {
	struct slice word; /* empty: nobody's */
	const struct row *row;
} slots[SLOTS];
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* The word's slot, or the one where it belongs. */
static struct slot *slot_of(struct slice word)
{
	uint32_t at = crc32c(word.ptr, word.len);

	while (slots[at % SLOTS].word.len && !slice_eq(slots[at % SLOTS].word, word))
		at++;
	return &slots[at % SLOTS];
}

static void fill(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct slice rest = slice_of(rows[i].words);

		while (rest.len) {
			struct slice word = slice_cut(&rest, ' ');

			*slot_of(word) = (struct slot){ word, &rows[i] };
		}
	}
}

struct semantic_word semantic_word(struct slice word)
{
	const struct slot *s;

	pthread_once(&once, fill);
	if (slice_ends(word, "n't"))
		return (struct semantic_word){ .kind = SEMANTIC_NOT };
	s = slot_of(word);
	if (!word.len || !s->word.len)
		return (struct semantic_word){ .kind = SEMANTIC_OTHER };
	return (struct semantic_word){ .kind = s->row->kind,
		.value = s->row->value,
		.text = s->row->text ? slice_of(s->row->text) : word };
}

static const char *const now_words[] = { "today", "tonight", "now", "nowadays", "current",
	"currently", "latest", "newest", "recent", "recently", "yesterday", "tomorrow",
	"this morning", "this afternoon", "this evening", "this week", "this month", "this year",
	"this quarter", "this weekend", "last night", "last week", "last month", "last year",
	"next week", "next month", "next year", "at the moment", "right now", "so far",
	"up to date", "time is it", "the time in", "what time", "what day", "which day",
	"what year", "what month", "date", "weather", "forecast", "temperature in", "news",
	"headlines", "price of", "stock price", "share price", "exchange rate", "how old is",
	"live score", "score of", "is it raining", "still alive", "who is the president",
	"who is the prime minister",
	/* German */
	"heute", "heutige", "heutigen", "jetzt", "gerade", "aktuell", "aktuelle", "aktuellen",
	"aktueller", "aktuelles", "derzeit", "momentan", "zurzeit", "gestern", "morgen", "neueste",
	"neuesten", "neuester", "neuestes", "diese woche", "dieser woche", "diesen monat",
	"dieses jahr", "diesem jahr", "wie spät", "uhrzeit", "datum", "wetter", "nachrichten",
	"preis von", "kurs von", "welcher tag",
	/* French */
	"aujourd hui", "maintenant", "actuel", "actuelle", "actuels", "actuelles", "actuellement",
	"en ce moment", "hier", "demain", "dernier", "dernière", "derniers", "dernières", "récent",
	"récente", "cette semaine", "ce mois", "cette année", "quelle heure", "quel jour", "météo",
	"nouvelles", "actualité", "actualités", "prix du", "prix de", "cours de",
	/* Spanish */
	"hoy", "ahora", "actual", "actuales", "actualmente", "ayer", "mañana", "último", "última",
	"últimos", "últimas", "reciente", "recientes", "esta semana", "este mes", "este año",
	"qué hora", "que hora", "qué día", "que día", "fecha", "clima", "tiempo hace", "noticias",
	"precio de", "precio del", NULL };

const char *const *semantic_now_words(void)
{
	return now_words;
}
