package roster

// part is a piece of a name in both scripts.
type part struct{ zh, latin string }

// surnames are common ones, the most common several times, and three of two characters.
var surnames = []part{
	{"王", "Wang"}, {"王", "Wang"}, {"王", "Wang"}, {"李", "Li"}, {"李", "Li"}, {"李", "Li"}, {"张", "Zhang"}, {"张", "Zhang"}, {"张", "Zhang"},
	{"刘", "Liu"}, {"刘", "Liu"}, {"陈", "Chen"}, {"陈", "Chen"}, {"杨", "Yang"}, {"黄", "Huang"}, {"赵", "Zhao"}, {"吴", "Wu"}, {"周", "Zhou"},
	{"徐", "Xu"}, {"孙", "Sun"}, {"马", "Ma"}, {"朱", "Zhu"}, {"胡", "Hu"}, {"郭", "Guo"}, {"何", "He"}, {"林", "Lin"}, {"高", "Gao"}, {"罗", "Luo"},
	{"郑", "Zheng"}, {"梁", "Liang"}, {"谢", "Xie"}, {"宋", "Song"}, {"唐", "Tang"}, {"许", "Xu"}, {"邓", "Deng"}, {"韩", "Han"}, {"冯", "Feng"},
	{"曹", "Cao"}, {"彭", "Peng"}, {"曾", "Zeng"}, {"肖", "Xiao"}, {"田", "Tian"}, {"董", "Dong"}, {"潘", "Pan"}, {"袁", "Yuan"}, {"蔡", "Cai"},
	{"蒋", "Jiang"}, {"余", "Yu"}, {"于", "Yu"}, {"杜", "Du"}, {"叶", "Ye"}, {"程", "Cheng"}, {"魏", "Wei"}, {"苏", "Su"}, {"吕", "Lyu"}, {"丁", "Ding"},
	{"任", "Ren"}, {"卢", "Lu"}, {"姚", "Yao"}, {"沈", "Shen"}, {"钟", "Zhong"}, {"姜", "Jiang"}, {"崔", "Cui"}, {"谭", "Tan"}, {"陆", "Lu"}, {"范", "Fan"},
	{"汪", "Wang"}, {"廖", "Liao"}, {"石", "Shi"}, {"金", "Jin"}, {"韦", "Wei"}, {"贾", "Jia"}, {"夏", "Xia"}, {"傅", "Fu"}, {"方", "Fang"}, {"邹", "Zou"},
	{"熊", "Xiong"}, {"白", "Bai"}, {"孟", "Meng"}, {"秦", "Qin"}, {"邱", "Qiu"}, {"侯", "Hou"}, {"江", "Jiang"}, {"尹", "Yin"}, {"薛", "Xue"}, {"闫", "Yan"},
	{"欧阳", "Ouyang"}, {"司马", "Sima"}, {"上官", "Shangguan"},
}

var givenMale = []part{
	{"伟", "wei"}, {"强", "qiang"}, {"军", "jun"}, {"勇", "yong"}, {"杰", "jie"}, {"涛", "tao"}, {"超", "chao"}, {"刚", "gang"}, {"平", "ping"},
	{"辉", "hui"}, {"鹏", "peng"}, {"浩", "hao"}, {"宇", "yu"}, {"飞", "fei"}, {"凯", "kai"}, {"斌", "bin"}, {"磊", "lei"}, {"鑫", "xin"}, {"波", "bo"},
	{"亮", "liang"}, {"健", "jian"}, {"峰", "feng"}, {"龙", "long"}, {"志", "zhi"}, {"国", "guo"}, {"建", "jian"}, {"明", "ming"}, {"文", "wen"},
	{"子", "zi"}, {"轩", "xuan"}, {"博", "bo"}, {"瑞", "rui"}, {"泽", "ze"}, {"昊", "hao"}, {"天", "tian"}, {"俊", "jun"}, {"海", "hai"}, {"永", "yong"},
}

var givenFemale = []part{
	{"芳", "fang"}, {"娜", "na"}, {"敏", "min"}, {"静", "jing"}, {"丽", "li"}, {"艳", "yan"}, {"娟", "juan"}, {"霞", "xia"}, {"秀", "xiu"}, {"英", "ying"},
	{"燕", "yan"}, {"玲", "ling"}, {"桂", "gui"}, {"兰", "lan"}, {"婷", "ting"}, {"雪", "xue"}, {"慧", "hui"}, {"莹", "ying"}, {"倩", "qian"}, {"琳", "lin"},
	{"洁", "jie"}, {"红", "hong"}, {"梅", "mei"}, {"欣", "xin"}, {"怡", "yi"}, {"雨", "yu"}, {"涵", "han"}, {"梦", "meng"}, {"佳", "jia"}, {"诗", "shi"},
	{"晓", "xiao"}, {"淑", "shu"}, {"珍", "zhen"}, {"春", "chun"}, {"思", "si"}, {"瑶", "yao"}, {"子", "zi"}, {"一", "yi"},
}

// Residents of other nationalities; the Chinese name is the usual transliteration.
var foreignGiven = map[string][]part{
	Male:   {{"安德烈", "Andrei"}, {"马克", "Mark"}, {"卢卡斯", "Lukas"}, {"丹尼尔", "Daniel"}, {"托马斯", "Thomas"}, {"保罗", "Paolo"}},
	Female: {{"安娜", "Anna"}, {"玛丽亚", "Maria"}, {"索菲", "Sophie"}, {"埃琳娜", "Elena"}, {"露西亚", "Lucia"}, {"劳拉", "Laura"}},
}

var foreignFamily = []struct {
	country string
	part
}{
	{"RUS", part{"伊万诺夫", "Ivanov"}}, {"FRA", part{"莫罗", "Moreau"}}, {"DEU", part{"施耐德", "Schneider"}}, {"ITA", part{"里奇", "Ricci"}},
	{"BRA", part{"席尔瓦", "Silva"}}, {"CAN", part{"特朗布莱", "Tremblay"}}, {"POL", part{"科瓦尔斯基", "Kowalski"}}, {"ESP", part{"加西亚", "Garcia"}},
	{"GBR", part{"泰勒", "Taylor"}}, {"KEN", part{"卡马乌", "Kamau"}}, {"IND", part{"夏尔马", "Sharma"}}, {"AUS", part{"威尔逊", "Wilson"}},
}

var (
	districts = []string{"青松区", "望湖区", "白鹭区", "石桥县", "南屏县", "云岭县", "长亭区", "金谷县", "听涛区", "桂林坊区"}
	roads     = []string{"合符路", "虎丘街", "竹林大道", "朝阳里路", "清泉街", "梧桐路", "书院街", "渡口路", "稻香路", "明月巷", "同心大道", "丰收路"}
)
